"""Slow views beside fast ones: who suffers?

locust -f loadtests/scenarios/slow.py --host https://edge.laurel.test:8443 -u 10 --fast-rate 5 --slow-rate 1
locust -f loadtests/scenarios/slow.py --host … --slow-path /workload/slow-async
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs from any folder

from loadtests.users.slow import SlowUser

__all__ = ["SlowUser"]
