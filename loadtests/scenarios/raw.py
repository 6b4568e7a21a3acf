"""Raw: one page over one version of HTTP, with kept connections or one a request.

locust -f loadtests/scenarios/raw.py --host https://edge.laurel.test:8443 -u 10 --request-rate 20 --http 2
locust -f loadtests/scenarios/raw.py --host … --path /workload/json --connections close
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs from any folder

from loadtests.users.raw import RawUser

__all__ = ["RawUser"]
