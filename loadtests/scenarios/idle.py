"""Idle: what does a WebSocket cost that says nothing?

locust -f loadtests/scenarios/idle.py --host https://edge.laurel.test:8443 --headless -u 1 --members 2000 --measure 20
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs from any folder

from loadtests.users.crowduser import CrowdUser

__all__ = ["CrowdUser"]
