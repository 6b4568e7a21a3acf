"""Chat: how long until a message is with everybody, and what does a delivery cost?

A crowd of `--members` is what makes the servers work, `--probes` measure the delay. Two workers keep them apart:
locust -f loadtests/scenarios/chat.py --host https://edge.laurel.test:8443 -u 11 --members 1000 --probes 50 --processes 2
locust -f loadtests/scenarios/chat.py --host … -u 20 --transport polling
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs from any folder

from loadtests.users.chat import ChatUser
from loadtests.users.crowduser import CrowdUser

__all__ = ["ChatUser", "CrowdUser"]
