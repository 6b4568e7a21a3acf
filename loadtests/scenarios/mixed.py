"""Pages and chat at once: what do the two do to each other?

locust -f loadtests/scenarios/mixed.py --host https://edge.laurel.test:8443 -u 20
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs from any folder

from loadtests.users.chat import ChatUser
from loadtests.users.pages import PagesUser

__all__ = ["ChatUser", "PagesUser"]
