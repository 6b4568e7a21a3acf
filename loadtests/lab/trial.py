"""One trial: one scenario against one topology, from the start of Locust to a checked row of numbers."""

import json
import random
import time
from dataclasses import dataclass
from typing import Any

from loadtests.users.histograms import encode, merge, percentiles_ms

from . import cpu
from .errors import LabError
from .hosts import REMOTE_PREFIX, Hosts, Samplers
from .plan import Plan, Scenario, Topology

CHAT_KINDS = {"DELIVER", "PUBLISH", "CONNECT", "SOCKET"}
SESSIONS_FILE = f"{REMOTE_PREFIX}-sessions.json"
RESULT_FILE = f"{REMOTE_PREFIX}-result.json"


@dataclass(frozen=True)
class Slot:
    """A place in the timetable of a run."""

    round: int
    scenario: str
    topology: str
    twin: bool
    seed: int

    @property
    def id(self) -> str:
        return f"{self.round}-{self.scenario}-{self.topology}{'-twin' if self.twin else ''}"


def timetable(plan: Plan, seed: int) -> list[Slot]:
    """All trials in order: the candidates of a round in random order, the scenarios of each after another.

    Trials of one round and scenario share their seed, hence the arrival times: only the topology differs.
    """
    rng = random.Random(seed)
    slots = []
    for number in range(1, plan.rounds + 1):
        candidates = [(name, False) for name in plan.topologies] + [(plan.baseline, True)]
        rng.shuffle(candidates)
        seeds = {name: rng.randrange(1, 2**31) for name in plan.scenarios}
        for topology, twin in candidates:
            for scenario in plan.scenarios.values():
                if not twin or scenario.twin:
                    slots.append(Slot(number, scenario.name, topology, twin, seeds[scenario.name]))
    return slots


def load_arguments(plan: Plan, slot: Slot, base_url: str) -> list[str]:
    """The arguments of Locust for one trial. Rates in the plan are of all users together, Locust's are per user."""
    scenario, topology = plan.scenarios[slot.scenario], plan.topologies[slot.topology]
    options = dict(scenario.options)
    for rate in ("request_rate", "message_rate"):
        if rate in options:
            options[rate] = options[rate] / scenario.users
    options |= {
        "transport": "websocket" if topology.has_websocket else "polling",
        "sessions_file": SESSIONS_FILE,
        "warm_up": plan.warm_up,
        "measure": plan.measure,
        "seed": slot.seed,
        "result_file": RESULT_FILE,
    }
    arguments = ["-f", f"loadtests/scenarios/{scenario.name}.py", "--host", base_url]
    arguments += ["--headless", "--only-summary", "--loglevel", "WARNING", "-u", str(scenario.users), "-r", "1000"]
    return arguments + [part for key, value in options.items() for part in (f"--{key.replace('_', '-')}", str(value))]


def run_trial(hosts: Hosts, plan: Plan, slot: Slot, base_url: str) -> dict[str, Any]:
    """Run Locust, read the CPU counters at both ends of its window, and return the row (see `make_row`).

    Raises LabError when a host is lost. A load that fails gives a row with the reason.
    """
    samplers = hosts.start_samplers()
    process = None
    try:
        process = hosts.start_load(load_arguments(plan, slot, base_url))
        steps = follow(process, samplers)
    except BaseException:
        if process:
            hosts.stop_load()
        raise
    finally:
        samplers.close()
        if process:
            close_pipes(process)
    if "closed" not in steps:
        return failed_row(plan, slot, steps.get("failed", "the load process ended before its measured window"))
    seen = json.loads(hosts.read_load_file(RESULT_FILE))
    return make_row(plan, slot, seen, steps["opened"], steps["closed"])


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
    process.wait(30)
    if "closed" not in steps and "failed" not in steps:
        words = process.stderr.read().strip().splitlines()
        steps["failed"] = words[-1] if words else "the load process ended without a word"
    return steps


def close_pipes(process: Any) -> None:
    if process.poll() is None:
        process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()


def identity(plan: Plan, slot: Slot) -> dict[str, Any]:
    return {
        "id": slot.id,
        "round": slot.round,
        "scenario": slot.scenario,
        "topology": slot.topology,
        "twin": slot.twin,
        "seed": slot.seed,
        "unit": plan.scenarios[slot.scenario].unit,
        "ended_unix": time.time(),
    }


def failed_row(plan: Plan, slot: Slot, reason: str) -> dict[str, Any]:
    return identity(plan, slot) | {"measured": False, "failure": reason}


def named_services(plan: Plan) -> list[str]:
    """The services whose CPU time is told apart: nginx, the servers of the topologies, the stores."""
    servers = {s for t in plan.topologies.values() for s in (t.http, t.websocket)} - {"none"}
    return ["nginx", *sorted(servers), "redis", "postgresql"]


def without_other_servers(plan: Plan, topology: Topology, used: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Set apart what the servers of the other topologies used: they idle beside this one, only for the bench."""
    own = {topology.http, topology.websocket}
    others = {s for t in plan.topologies.values() for s in (t.http, t.websocket)} - own - {"none"}
    return {s: v for s, v in used.items() if s not in others}, {s: v for s, v in used.items() if s in others}


def make_row(plan: Plan, slot: Slot, seen: dict[str, Any], before: dict, after: dict) -> dict[str, Any]:
    """The numbers of a trial. Times in ms, CPU in µs per unit, rates per second, `histogram` as HDR base64."""
    scenario: Scenario = plan.scenarios[slot.scenario]
    topology: Topology = plan.topologies[slot.topology]
    seconds = seen["window"]["seconds"]
    series, counters = seen["series"], seen["counters"]
    requests = {n: s for n, s in series.items() if s["kind"] not in CHAT_KINDS}
    main = {"delivery": series["delivery"]} if scenario.unit == "delivery" and "delivery" in series else requests
    if scenario.unit == "delivery" and "delivery" not in series:
        return failed_row(plan, slot, "no message was delivered")
    units = sum(s["count"] - s["failed"] for s in main.values())
    if not units:
        return failed_row(plan, slot, "no request was answered rightly")
    used, doubts = cpu.seconds_by_service(before, after, named_services(plan))
    used, outside = without_other_servers(plan, topology, used)
    if sum(outside.values()) > sum(used.get(server, 0.0) for server in {topology.http, topology.websocket}):
        doubts.append(f"{max(outside, key=outside.get)} did the work, which is no server of {topology.name}")
    host = next(iter(after))
    latency = merge([s["latency"] for s in main.values()])
    rate_of = {"delivery": "message_rate", "request": "request_rate"}.get(scenario.unit)
    if rate_of not in scenario.options:
        raise LabError(f"scenario {scenario.name}: unit is {scenario.unit!r}, expected request or delivery, with its rate")
    busiest = max(used, key=used.get)
    return identity(plan, slot) | {
        "measured": True,
        "seconds": seconds,
        "host_seconds": after[host]["at"] - before[host]["at"],
        "transport": ("websocket" if topology.has_websocket else "polling") if scenario.unit == "delivery" else "http",
        "offered": scenario.options[rate_of] * seconds,
        "sent": counters.get("woken", 0) + counters.get("behind", 0),
        "units": units,
        "requests_per_second": sum(s["count"] for s in requests.values()) / seconds,
        "messages_per_second": counters.get("deliveries", 0) / seconds,
        "published_per_second": counters.get("published", 0) / seconds,
        "latency_ms": percentiles_ms(latency),
        "service_ms": percentiles_ms(merge([s["service"] for s in main.values()])),
        "histogram": encode(latency),
        "errors": sum(s["failed"] for s in series.values()),
        "error_kinds": {f"{n}: {text}": c for n, s in series.items() for text, c in s["errors"].items()},
        "answers": sum(s["count"] for s in series.values()),
        "cpu_us": {name: value * 1e6 / units for name, value in sorted(used.items())},
        "cpu_us_total": sum(used.values()) * 1e6 / units,
        "cpu_busy": {name: value / seconds for name, value in sorted(used.items())},
        "cpu_us_outside": {name: value * 1e6 / units for name, value in sorted(outside.items())},
        "busiest": busiest,
        "doubts": doubts,
        "counters": counters,
        "lateness_ms": percentiles_ms(merge([seen["lateness"]])),
        "generator": seen["generator"],
        "sockets": seen["sockets"],
    }
