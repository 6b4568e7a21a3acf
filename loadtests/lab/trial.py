"""One trial: one scenario against one candidate, from the start of Locust to a checked row of numbers."""

import json
import math
import random
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any

from loadtests.users.histograms import empty, encode, merge, percentiles_ms

from . import usage
from .declaration import Scenario
from .hosts import REMOTE_PREFIX, Hosts, Samplers
from .plan import Gate, Plan

NOT_REQUESTS = {"DELIVER", "PUBLISH", "CONNECT", "SOCKET", "BACK", "MQTT", "SETUP"}
"""Kinds of series that are no HTTP requests."""
END_SECONDS = 30
"""How long the load may take to end after its window: it waits 5 s for answers."""
SESSIONS_FILE = f"{REMOTE_PREFIX}-sessions.json"
MQTT_PASSWORD_FILE = f"{REMOTE_PREFIX}-mqtt.password"
RESULT_FILE = f"{REMOTE_PREFIX}-result.json"


@dataclass(frozen=True)
class Slot:
    """A place in the timetable of a run."""

    round: int
    scenario: str
    candidate: str
    twin: bool
    seed: int

    @property
    def id(self) -> str:
        return f"{self.round}-{self.scenario}-{self.candidate}{'-twin' if self.twin else ''}"


def timetable(plan: Plan, seed: int) -> list[Slot]:
    """All trials in order: scenario after scenario, each in rounds with the candidates of a round in random order.

    Scenarios that need the rig come last, so that it serves only while it is wanted. Trials of one round share their
    seed, hence the arrival times: only the candidate differs.
    """
    slots = []
    for scenario in sorted(plan.scenarios.values(), key=lambda s: s.needs_rig):
        rng = random.Random(f"{seed}-{scenario.name}")
        for number in range(1, scenario.rounds + 1):
            candidates = [(name, False) for name in scenario.candidates] + [(scenario.baseline, True)]
            rng.shuffle(candidates)
            arrivals = rng.randrange(1, 2**31)
            slots += [Slot(number, scenario.name, name, twin, arrivals) for name, twin in candidates]
    return slots


def address(plan: Plan, scenario: Scenario, candidate: str, https_port: int) -> str:
    """Where a candidate is served: the origin, without a path."""
    chosen = scenario.candidates[candidate]
    if chosen.rig and plan.world.targets[chosen.rig].url:
        return plan.world.targets[chosen.rig].url.rstrip("/")
    return f"https://{chosen.rig or chosen.topology}.{plan.world.domain}:{https_port}"


def ready_url(plan: Plan, scenario: Scenario, candidate: str, https_port: int) -> str:
    """What answers 200 when a candidate is ready."""
    chosen = scenario.candidates[candidate]
    path = plan.world.targets[chosen.rig].path if chosen.rig else "/readyz"
    return address(plan, scenario, candidate, https_port) + path


def load_arguments(
    plan: Plan, slot: Slot, base_url: str, changes: dict[str, Any] | None = None, extra: dict[str, Any] | None = None
) -> list[str]:
    """The arguments of Locust for one trial. Rates are declared for all users together, Locust's are per user.

    `changes` go before what is declared, `extra` (what the environment knows) behind it.
    """
    scenario = plan.scenarios[slot.scenario]
    candidate, users = scenario.candidates[slot.candidate], scenario.users_of(slot.candidate)
    options = target_options(plan, scenario, candidate.rig) | scenario.options_of(slot.candidate) | (changes or {})
    options = {k: v / users if k.endswith("_rate") else v for k, v in options.items()}
    options |= {k: v for k, v in (extra or {}).items() if k not in options}
    options |= {
        "sessions_file": SESSIONS_FILE,
        "warm_up": scenario.warm_up,
        "measure": scenario.measure,
        "seed": slot.seed,
        "result_file": RESULT_FILE,
    }
    arguments = ["-f", f"loadtests/scenarios/{scenario.locustfile}.py", "--host", base_url]
    arguments += ["--headless", "--only-summary", "--loglevel", "WARNING", "-u", str(users), "-r", "1000"]
    return arguments + [part for key, value in options.items() for part in (f"--{key.replace('_', '-')}", str(value))]


def target_options(plan: Plan, scenario: Scenario, rig: str) -> dict[str, Any]:
    """What the raw user must ask a target of the rig for, and expect."""
    if not rig or scenario.locustfile != "raw":
        return {}
    target = plan.world.targets[rig]
    return {"path": target.path} | ({"expect_body": target.body} if target.body else {}) | ({"http": target.http} if target.http else {})


@dataclass
class Setting:
    """What a trial needs to know about where it runs."""

    cpus: list[int] | None
    """The CPUs of the servers; None where they are not ours to choose."""
    shared_machine: bool
    """The hosts are containers of one machine: its kernel's counters are there once."""
    cpu_count: int
    extra: dict[str, Any] = field(default_factory=dict)
    """Arguments of the load that depend on the environment."""


def run_trial(
    hosts: Hosts, plan: Plan, slot: Slot, base_url: str, setting: Setting, changes: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Run Locust, read the counters at both ends of its window, and return the row (see `make_row`).

    Raises LabError when a host is lost. A load that fails gives a row with the reason.
    """
    samplers = hosts.start_samplers()
    process = None
    try:
        steps = {"began": samplers.mark()}
        process = hosts.start_load(load_arguments(plan, slot, base_url, changes, setting.extra))
        steps |= follow(process, samplers)
    except BaseException:
        if process:
            hosts.stop_load()
        raise
    finally:
        samplers.close()
        if process:
            close_pipes(process)
    if "closed" not in steps:
        hosts.stop_load()
        return failed_row(plan, slot, steps.get("failed", "the load process ended before its measured window"))
    seen = json.loads(hosts.read_load_file(RESULT_FILE))
    row = make_row(plan, slot, seen, steps, setting, changes)
    if row["measured"]:
        since = seen["window"]["opened_unix"]
        row["doubts"] += log_doubts(hosts.read_logs(since, since + row["seconds"]), base_url)
    return row


def follow(process: Any, samplers: Samplers) -> dict[str, Any]:
    """Read what the load says, and the counters the moment its window opens and closes."""
    steps: dict[str, Any] = {}
    for line in process.stdout:
        if not line.startswith("@load "):
            continue
        said = json.loads(line.removeprefix("@load "))
        if said["step"] in ("opened", "closed"):
            steps[said["step"]] = samplers.mark()
        elif said["step"] == "failed":
            steps["failed"] = said["reason"]
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        steps.pop("closed", None)
        steps["failed"] = f"the generator did not end within {END_SECONDS} s of its window"
        return steps
    if "closed" not in steps and "failed" not in steps:
        words = process.stderr.read().strip().splitlines()
        steps["failed"] = words[-1] if words else "the load process ended without a word"
    return steps


def close_pipes(process: Any) -> None:
    if process.poll() is None:
        process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()


def log_doubts(found: dict[str, dict[str, Any]], base_url: str) -> list[str]:
    """What the hosts' logs say against a trial at this address."""
    name = base_url.partition("://")[2].rpartition(":")[0]
    doubts = []
    for host, said in found.items():
        count = said["bad_gateways"].get(name, 0)
        if count:
            doubts.append(f"nginx on {host} logged {count} answers with 502, 503 or 504")
        doubts += [f"{host}: {line}" for line in said["memory"]]
    return doubts


def identity(plan: Plan, slot: Slot) -> dict[str, Any]:
    return {
        "id": slot.id,
        "round": slot.round,
        "scenario": slot.scenario,
        "candidate": slot.candidate,
        "twin": slot.twin,
        "seed": slot.seed,
        "unit": plan.scenarios[slot.scenario].unit,
        "ended_unix": time.time(),
    }


def failed_row(plan: Plan, slot: Slot, reason: str) -> dict[str, Any]:
    return identity(plan, slot) | {"measured": False, "failure": reason}


def own_services(plan: Plan, scenario: Scenario, candidate: str) -> dict[str, str]:
    """The servers that work for a candidate: `{service as systemd names it: name to show}`."""
    chosen = scenario.candidates[candidate]
    if chosen.rig:
        target = plan.world.targets[chosen.rig]
        return {usage.service_of(unit): target.server for unit in target.units}
    return {server: server for server in plan.world.topologies[chosen.topology].servers}


SHARED = ("nginx", "redis", "postgresql", "mqtt", "mosquitto")
"""Services that work for every candidate."""


class Services:
    """Which service's work counts for a candidate, and under which name."""

    def __init__(self, plan: Plan, scenario: Scenario, candidate: str, seen: set[str]) -> None:
        self.own = own_services(plan, scenario, candidate)
        others = plan.world.servers | {s for s in seen if s.startswith("rig-")}
        self.outside = others - set(self.own) - set(SHARED)
        """Servers of the other candidates: they idle beside this one, only for the bench."""
        self.named = set(self.own) | set(SHARED) | self.outside

    def split(self, by_service: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
        """What counts, by the name to show, and what does not."""
        counted: dict[str, float] = {}
        for service, value in by_service.items():
            if service not in self.outside:
                name = self.own.get(service, service)
                counted[name] = counted.get(name, 0.0) + value
        return counted, {s: v for s, v in by_service.items() if s in self.outside}


def make_row(plan: Plan, slot: Slot, seen: dict, steps: dict, setting: Setting, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """The numbers of a trial. Times in ms, CPU in µs per unit, rates per second, `histogram` as HDR base64."""
    scenario = plan.scenarios[slot.scenario]
    before, after = steps["opened"], steps["closed"]
    seconds, series, counters = seen["window"]["seconds"], seen["series"], seen["counters"]
    options = scenario.options_of(slot.candidate) | (changes or {})
    offered = sum(v for k, v in options.items() if k.endswith("_rate")) * seconds
    units = count_units(scenario, seen)
    if not units:
        return failed_row(plan, slot, blamed(seen, plan.gate, offered, NOTHING[scenario.unit]))
    services = Services(plan, scenario, slot.candidate, usage.all_services(after))
    used, doubts = usage.seconds_by_service(before, after, services.named)
    used, outside = services.split(used)
    own_work = sum(used.get(name, 0.0) for name in services.own.values())
    if services.own and max(outside.values(), default=0.0) > own_work > 0 and scenario.unit != "socket":
        doubts.append(f"{max(outside, key=outside.get)} did the work, which is no server of {slot.candidate}")
    doubts += usage.kernel_events(before, after)
    kernel, _ = services.split(usage.growth(before, after, "system_usec", services.named))
    switches, _ = services.split(usage.growth(before, after, "switches", services.named))
    memory = memory_of(services, steps, units if scenario.unit == "socket" else None)
    latency, service = durations(scenario, series)
    host = next(iter(after))
    sockets = seen["sockets"]
    return identity(plan, slot) | memory | {
        "measured": True,
        "opened_unix": seen["window"]["opened_unix"],
        "seconds": seconds,
        "host_seconds": after[host]["at"] - before[host]["at"],
        "offered": offered,
        "sent": counters.get("woken", 0) + counters.get("behind", 0),
        "units": units,
        "latency_ms": percentiles_ms(latency),
        "mean_ms": latency.get_mean_value() / 1e3 if latency.total_count else None,
        "service_ms": percentiles_ms(service),
        "histogram": encode(latency),
        "series_ms": {n: percentiles_ms(merge([s["latency"]])) for n, s in series.items()},
        "errors": sum(s["failed"] for s in series.values()),
        "error_kinds": {f"{n}: {text}": c for n, s in series.items() for text, c in s["errors"].items()},
        "answers": sum(s["count"] for s in series.values()),
        "in_flight": in_flight(seen),
        "cpu_us": {name: value * 1e6 / units for name, value in sorted(used.items())},
        "cpu_us_total": sum(used.values()) * 1e6 / units,
        "cpu_busy": {name: value / seconds for name, value in sorted(used.items())},
        "kernel_cpu_us": {name: value / units for name, value in sorted(kernel.items())},
        "cpu_us_outside": {name: value * 1e6 / units for name, value in sorted(outside.items())},
        "kernel_busy": {k: v / seconds for k, v in usage.kernel_share(before, after, setting.cpus, setting.shared_machine).items()},
        "switches_per_unit": sum(switches.values()) / units,
        "bytes_per_unit": received_bytes(seen) / units,
        "network_bytes": usage.network_bytes(before, after),
        "bottleneck": usage.bottleneck(before, after, plan.world.sizes, setting.cpu_count, seconds),
        "doubts": doubts,
        "counters": counters,
        "lateness_ms": percentiles_ms(merge([seen["lateness"]])),
        "generator": seen["generator"],
        "sockets": {"opened": sockets.get("opened", sockets["expected"]), **sockets},
        "warnings": seen.get("warnings", []),
    }  # fmt: skip


NOTHING = {
    "request": "no request was answered rightly",
    "delivery": "no message was delivered",
    "socket": "no socket was open",
    "return": "no socket came back",
}


def blamed(seen: dict[str, Any], gate: Gate, offered: float, what: str) -> str:
    """A failure with the generator as its reason where that was at its limit."""
    share, counters = seen["generator"]["cpu_share"], seen["counters"]
    late = counters.get("late", 0) / max(1, counters.get("woken", 0))
    if share > gate.max_generator_cpu:
        return f"the generator used {share:.0%} of its CPUs, limit {gate.max_generator_cpu:.0%}: {what}"
    sent = counters.get("woken", 0) + counters.get("behind", 0)
    if offered - sent > gate.max_offered_sigma * math.sqrt(offered):
        return f"the generator sent {sent}, {offered:.0f} were offered: {what}"
    if late > gate.max_late_share:
        return f"the generator was late for {late:.1%} of the requests, limit {gate.max_late_share:.1%}: {what}"
    return what


def count_units(scenario: Scenario, seen: dict[str, Any]) -> int:
    """How many requests, deliveries, sockets or returns the CPU time is divided by."""
    series, counters = seen["series"], seen["counters"]
    if scenario.unit == "socket":
        return seen["sockets"]["open"]
    if scenario.unit == "delivery":
        return counters.get("deliveries") or right(series.get("delivery"))
    if scenario.unit == "return":
        return right(series.get("back"))
    return sum(right(s) for s in series.values() if s["kind"] not in NOT_REQUESTS)


def right(series: dict[str, Any] | None) -> int:
    return series["count"] - series["failed"] if series else 0


def durations(scenario: Scenario, series: dict[str, Any]) -> tuple[Any, Any]:
    """Latency and service time of what the scenario is about, as histograms."""
    names = scenario.series or {"delivery": ("delivery",), "return": ("back",), "socket": ()}.get(scenario.unit)
    chosen = [s for n, s in series.items() if (n in names if names is not None else s["kind"] not in NOT_REQUESTS)]
    if not chosen:
        return empty(), empty()
    return merge([s["latency"] for s in chosen]), merge([s["service"] for s in chosen])


def in_flight(seen: dict[str, Any]) -> dict[str, float] | None:
    """Requests in flight: `counted` by the load as they came and went, and `expected` by Little's law: rate x service time.

    None when the load counted none.
    """
    counted = seen["in_flight"]
    requests = [s for name, s in seen["series"].items() if name in counted]
    total = sum(s["count"] for s in requests)
    if not total:
        return None
    histogram = merge([s["service"] for s in requests])
    expected = total / seen["window"]["seconds"] * histogram.get_mean_value() / 1e6
    return {"counted": sum(counted.values()), "expected": expected, "requests": total}


def memory_of(services: Services, steps: dict[str, Any], sockets: int | None) -> dict[str, Any]:
    """Memory of the servers at the window's end, and, where sockets were opened, what each of them added."""
    levels = {h: {"memory": {}} for h in steps["closed"]}
    present, _ = services.split(usage.growth(levels, steps["closed"], "memory", services.named, level=True))
    if not present:
        return {"memory_mib": None, "memory_kib_per_unit": None, "kernel_memory_kib_per_unit": None}
    grown, kernel = None, None
    if sockets:
        grown, kernel = (
            sum(services.split(usage.growth(steps["began"], steps["closed"], key, services.named, level=True))[0].values()) / 1024 / sockets
            for key in ("memory", "kernel_memory")
        )
    return {"memory_mib": sum(present.values()) / 2**20, "memory_kib_per_unit": grown, "kernel_memory_kib_per_unit": kernel}


def received_bytes(seen: dict[str, Any]) -> int:
    return seen["counters"].get("received_bytes") or sum(s["bytes"] for s in seen["series"].values())
