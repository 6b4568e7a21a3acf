"""Pages: what does an HTTP request cost, and how long does it take?

locust -f loadtests/scenarios/pages.py --host https://edge.laurel.test:8443
locust -f loadtests/scenarios/pages.py --host … --headless -u 10 --request-rate 5 --measure 30 --result-file r.json
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs from any folder

from loadtests.users.pages import PagesUser

__all__ = ["PagesUser"]
