"""Static files: does nginx serve them near the speed of a bare nginx?

locust -f loadtests/scenarios/static.py --host https://edge.laurel.test:8443 --headless -u 10 --request-rate 20 --measure 30
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs from any folder

from loadtests.users.files import StaticUser

__all__ = ["StaticUser"]
