"""Isolation: what do pages feel of a storm of messages that runs beside them?

locust -f loadtests/scenarios/isolation.py --host https://edge.laurel.test:8443 -u 11 --storm-members 500 --storm-rate 2 --processes 2
locust -f loadtests/scenarios/isolation.py --host … -u 11                           # the same pages without the storm
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs from any folder

from loadtests.users.crowduser import IsolationCrowd
from loadtests.users.isolation import IsolationUser

__all__ = ["IsolationCrowd", "IsolationUser"]
