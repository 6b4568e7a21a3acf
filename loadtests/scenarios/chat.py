"""Chat: how long until a message is with everybody, and what does a delivery cost?

locust -f loadtests/scenarios/chat.py --host https://edge.laurel.test:8443 -u 20 --rooms 2
locust -f loadtests/scenarios/chat.py --host … --transport polling
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs from any folder

from loadtests.users.chat import ChatUser

__all__ = ["ChatUser"]
