"""Push: seven ways to bring a message to a reader, on one clock. What do they cost in delay, CPU and bytes?

locust -f loadtests/scenarios/push.py --host https://edge.laurel.test:8443 -u 10 --subscribers 50 --transport sse
locust -f loadtests/scenarios/push.py --host … --transport mqtt --mqtt-host data --mqtt-password-file sensor.password
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs from any folder

from loadtests.users.push import PushUser

__all__ = ["PushUser"]
