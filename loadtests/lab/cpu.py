"""From unit counters on hosts to CPU time by service."""

from collections import defaultdict
from collections.abc import Iterable

from .errors import LabError

ALIASES = {"redis-server": "redis"}
NOT_SERVING = {"ssh", "sshd", "locust"}
"""Units that exist for the measurement itself."""


def service_of(unit: str) -> str:
    """`daphne@2.service` → `daphne`, `redis-server.service` → `redis`."""
    name = unit.removesuffix(".service").partition("@")[0]
    return ALIASES.get(name, name)


def seconds_by_service(before: dict[str, dict], after: dict[str, dict], named: Iterable[str]) -> tuple[dict[str, float], list[str]]:
    """CPU seconds used between two samples `{host: sampler line}`, by service, and what makes them doubtful.

    Services not in `named` (logging, timers …) add up to `other`. A unit that began between the samples counts
    from zero and is reported, as is one that ended: its counter is gone.
    """
    named = set(named)
    used: dict[str, float] = defaultdict(float)
    doubts: list[str] = []
    for host, last in after.items():
        first = before[host]["usage_usec"]
        for unit, value in last["usage_usec"].items():
            service = service_of(unit)
            if service in NOT_SERVING:
                continue
            start = first.get(unit, 0)
            if service in named and (unit not in first or value < start):
                doubts.append(f"{unit} on {host} was restarted during the measurement")
                start = 0 if value < start else start
            used[service if service in named else "other"] += (value - start) / 1e6
        gone = [u for u in first if u not in last["usage_usec"] and service_of(u) in named]
        doubts += [f"{unit} on {host} stopped during the measurement" for unit in gone]
    if not used:
        raise LabError("No host reported the CPU time of a unit. Look at `make status`, then `make deploy`.")
    return dict(used), doubts
