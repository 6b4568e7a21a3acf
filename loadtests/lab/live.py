"""Brings the CPU of the hosts' services to Locust's web UI while a test runs there.

    python -m loadtests.lab.live [--environment local] [--web http://localhost:8089] [--every 2]

The load host reads no other host, so this runs where SSH to all of them works, on the controller, until ctrl-C.
"""

import argparse
import json
import sys
import time
import urllib.request
from typing import Any

from . import usage
from .errors import LabError
from .hosts import Hosts

SHOWN_LEAST = 0.001  # CPUs; what uses less is left out


def rows(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """CPUs in use by service and host between two samples, the busiest first."""
    found = []
    for host, last in after.items():
        first = before[host]
        seconds = last["at"] - first["at"]
        services = {usage.service_of(unit) for unit in last["usage_usec"]}
        used, _ = usage.seconds_by_service({host: first}, {host: last}, services)
        found += [{"service": s, "host": host, "cpu": v / seconds} for s, v in used.items() if v / seconds >= SHOWN_LEAST]
    return sorted(found, key=lambda row: -row["cpu"])


def send(web: str, found: list[dict[str, Any]]) -> None:
    """Raises LabError when the web UI does not take it."""
    body = json.dumps({"rows": found}).encode()
    asked = urllib.request.Request(f"{web.rstrip('/')}/laurel/cpu", body, {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(asked, timeout=10).close()
    except (OSError, ValueError) as error:
        raise LabError(f"{web} does not take the figures ({error}). Is Locust's web UI there? `make locust`") from None


def watch(hosts: Hosts, web: str, every: float) -> None:
    samplers = hosts.start_samplers()
    try:
        before = samplers.mark()
        while True:
            time.sleep(every)
            after = samplers.mark()
            send(web, rows(before, after))
            before = after
    finally:
        samplers.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.lab.live", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--environment", default="local")
    parser.add_argument("--web", default="", help="Locust's web UI; by default where the inventory publishes it")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two samples")
    options = parser.parse_args()
    if options.every < 0.2:
        parser.error(f"--every {options.every}: expected 0.2 seconds or more")
    try:
        hosts = Hosts(options.environment)
        port = hosts.load.variables.get("cluster_locust_port", 8089)
        watch(hosts, options.web or f"http://localhost:{port}", options.every)
    except LabError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
