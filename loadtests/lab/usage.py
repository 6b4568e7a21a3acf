"""From the samples of hosts to what each service used, and to the bottleneck."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from .errors import LabError

ALIASES = {"redis-server": "redis"}
NOT_SERVING = {"ssh", "sshd", "locust"}
"""Units that exist for the measurement itself."""
TICKS_PER_SECOND = 100


def service_of(unit: str) -> str:
    """`daphne@2.service` → `daphne`, `redis-server.service` → `redis`, `rig-x@1.service` → `rig-x`."""
    name = unit.removesuffix(".service").partition("@")[0]
    return ALIASES.get(name, name)


def seconds_by_service(before: dict[str, dict], after: dict[str, dict], named: Iterable[str]) -> tuple[dict[str, float], list[str]]:
    """CPU seconds used between two samples `{host: sampler line}`, by service, and what makes them doubtful.

    Services not in `named` (logging, timers …) add up to `other`. A unit that began between the samples counts
    from zero and is reported, as is one that ended: its counter is gone.
    """
    named = set(named)
    doubts: list[str] = []
    for host, last in after.items():
        first = before[host]["usage_usec"]
        for unit, value in last["usage_usec"].items():
            if service_of(unit) in named and (unit not in first or value < first[unit]):
                doubts.append(f"{unit} on {host} was restarted during the measurement")
        gone = [u for u in first if u not in last["usage_usec"] and service_of(u) in named]
        doubts += [f"{unit} on {host} stopped during the measurement" for unit in gone]
    used = {s: v / 1e6 for s, v in growth(before, after, "usage_usec", named).items()}
    if not used:
        raise LabError("No host reported the CPU time of a unit. Look at `make status`, then `make deploy`.")
    return used, doubts


def growth(before: dict[str, dict], after: dict[str, dict], key: str, named: Iterable[str], *, level: bool = False) -> dict[str, float]:
    """By how much a number of each unit grew, by service. A counter that fell began again from zero; a level may fall."""
    named = set(named)
    grown: dict[str, float] = defaultdict(float)
    for host, last in after.items():
        first = before[host].get(key, {})
        for unit, value in last.get(key, {}).items():
            service = service_of(unit)
            if service in NOT_SERVING:
                continue
            start = first.get(unit, 0)
            grown[service if service in named else "other"] += value - (start if level or value >= start else 0)
    return dict(grown)


def network_bytes(before: dict[str, dict], after: dict[str, dict]) -> dict[str, int]:
    """Bytes that each host sent."""
    return {h: after[h]["network"]["sent"] - before[h]["network"]["sent"] for h in after if "network" in after[h]}


def kernel_share(before: dict[str, dict], after: dict[str, dict], cpus: list[int] | None, shared: bool) -> dict[str, float]:
    """Seconds that CPUs spent in the kernel: `{"system": …, "interrupts": …, "stolen": …}`.

    `shared`: the hosts are containers of one machine, so one host speaks for all. `cpus`: only these.
    """
    total = dict.fromkeys(("system", "interrupts", "stolen"), 0.0)
    for host in list(after)[: 1 if shared else None]:
        for name, last in after[host].get("cpus", {}).items():
            if cpus is not None and int(name.removeprefix("cpu")) not in cpus:
                continue
            ticks = [b - a for a, b in zip(before[host]["cpus"][name], last, strict=True)]
            total["system"] += ticks[2] / TICKS_PER_SECOND
            total["interrupts"] += (ticks[5] + ticks[6]) / TICKS_PER_SECOND
            total["stolen"] += ticks[7] / TICKS_PER_SECOND
    return total


def kernel_events(before: dict[str, dict], after: dict[str, dict]) -> list[str]:
    """Swapping and killing between two samples, in words."""
    words = {"pswpin": "pages were swapped in", "pswpout": "pages were swapped out", "oom_kill": "processes were killed for memory"}
    events = []
    for host, last in after.items():
        for name, text in words.items():
            count = last.get("kernel", {}).get(name, 0) - before[host].get("kernel", {}).get(name, 0)
            if count > 0:
                events.append(f"{count} {text} on {host}")
    return events


SINGLE_THREADED = {"daphne", "redis"}
BUSY = 0.8


def bottleneck(before: dict[str, dict], after: dict[str, dict], sizes: dict[str, Any], cpus: int, seconds: float) -> dict[str, Any]:
    """What is nearest to its limit: `{"service", "share", "limit"}`. Limits are the CPUs and each unit's processes.

    `cpus` is how many CPUs the servers have together when `cpus` of them are shared.
    """
    whole = {s: v / seconds for s, v in seconds_by_service(before, after, [])[0].items()}
    services = {s: v / 1e6 / seconds for s, v in growth(before, after, "usage_usec", all_services(after)).items()}
    busiest = max(services, key=services.get)
    found = [{"service": busiest, "share": sum(whole.values()) / cpus, "limit": f"the {cpus} CPU{'s' if cpus > 1 else ''} of the servers"}]
    for host, last in after.items():
        for unit, value in last["usage_usec"].items():
            service = service_of(unit)
            processes = {"uwsgi": sizes.get("uwsgi_processes")}.get(service, 1 if service in SINGLE_THREADED else None)
            if not processes:
                continue
            used = (value - before[host]["usage_usec"].get(unit, 0)) / 1e6 / seconds
            found.append(
                {
                    "service": service,
                    "share": used / min(processes, cpus),
                    "limit": f"the {processes} process{'es' if processes > 1 else ''} of {unit.removesuffix('.service')} on {host}",
                }
            )
    return max(found, key=lambda f: f["share"])


def all_services(sample: dict[str, dict]) -> set[str]:
    return {service_of(u) for last in sample.values() for u in last["usage_usec"]}


def in_words(found: dict[str, Any]) -> str:
    """`daphne: 91 % of the 1 process of daphne@1 on app1`, or that nothing is near its limit."""
    text = f"{found['service']}: {found['share']:.0%} of {found['limit']}"
    return text if found["share"] >= BUSY else f"none (nearest is {text})"
