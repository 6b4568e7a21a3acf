"""Storm: every socket is cut at once. How long until all are back and have a message again?

locust -f loadtests/scenarios/storm.py --host https://edge.laurel.test:8443 --headless -u 3 --members 500 --measure 30
locust -f loadtests/scenarios/storm.py --host … --cut none                          # something else cuts them meanwhile
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs from any folder

from loadtests.users.chat import ChatUser
from loadtests.users.crowduser import StormUser

__all__ = ["ChatUser", "StormUser"]
