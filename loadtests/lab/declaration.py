"""A scenario's declaration, `loadtests/scenarios/<name>.yml`: its question, its load, and what it compares."""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import LabError
from .reading import Reader, read_yaml
from .world import World

SCENARIOS = Path(__file__).parent.parent / "scenarios"
# One, and many.
UNITS = {"request": "requests", "delivery": "deliveries", "socket": "sockets", "return": "returns"}
FIGURES = {
    "cpu_us": "µs of server CPU per {unit}",
    "p50": "ms, median latency",
    "p95": "ms, 95th percentile of latency",
    "p99": "ms, 99th percentile of latency",
    "max": "ms until the last one",
    "memory_kib": "KiB of server memory per {unit}, kernel included",
}
"""What a scenario can be judged by, beside CPU."""


@dataclass(frozen=True)
class Candidate:
    """One thing that is measured: a topology or a target of the rig, with options of its own."""

    name: str
    against: str
    options: dict[str, Any]
    topology: str = ""
    rig: str = ""
    missing: str = ""
    """Why it can't be measured here; empty when it can."""


@dataclass(frozen=True)
class Objective:
    percentile: str
    below_ms: float


@dataclass(frozen=True)
class Capacity:
    vary: str
    lowest: float
    highest: float
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class Scenario:
    name: str
    question: str
    locustfile: str
    unit: str
    figure: str
    series: tuple[str, ...]
    users: int
    options: dict[str, Any]
    warm_up: float
    measure: float
    settle: float
    rounds: int
    max_error_share: float
    fresh: bool
    """The servers are restarted before each trial: what an earlier one left in their memory would be used again."""
    baseline: str
    candidates: dict[str, Candidate]
    objective: Objective | None
    capacity: Capacity | None
    source: dict[str, Any] = field(repr=False)

    @property
    def needs_rig(self) -> bool:
        return any(c.rig for c in self.candidates.values())

    def users_of(self, candidate: str) -> int:
        return int(self.candidates[candidate].options.get("users", self.users))

    def options_of(self, candidate: str) -> dict[str, Any]:
        merged = self.options | self.candidates[candidate].options
        return {k: v for k, v in merged.items() if k != "users"}


def known_scenarios() -> list[str]:
    return sorted(path.stem for path in SCENARIOS.glob("*.yml"))


def declared(name: str) -> dict[str, Any]:
    """The declaration of a scenario as it stands in its file. Raises LabError that lists those there are."""
    path = SCENARIOS / f"{name}.yml"
    if not path.is_file():
        raise LabError(f"There is no scenario {name!r}. Scenarios: {', '.join(known_scenarios())}.")
    return read_yaml(path)


def overridden(data: dict[str, Any], changes: dict[str, Any] | None, where: str) -> dict[str, Any]:
    """A declaration with what a plan changes: mappings are merged, `candidates` keeps those named, the rest replaced."""
    data = copy.deepcopy(data)
    for key, value in (changes or {}).items():
        if key == "candidates":
            keep_candidates(data, value, where)
        elif key == "capacity" and value is False:
            data.pop("capacity", None)
        elif isinstance(value, dict) and isinstance(data.get(key), dict):
            data[key] = data[key] | value
        else:
            data[key] = value
    return data


def keep_candidates(data: dict[str, Any], names: Any, where: str) -> None:
    compare = data.get("compare", {})
    there = compare.get("candidates") or {}
    if not isinstance(names, list) or not set(names) <= set(there):
        raise LabError(f"{where}: candidates is {names!r}, expected some of {', '.join(there) or 'none: they are all topologies'}")
    data["compare"] = compare | {"candidates": {n: there[n] for n in names}}


def parse_scenario(name: str, data: Any, world: World, where: str) -> Scenario:
    """Check a declaration that has been read. Raises LabError naming the key, what was seen and what was expected."""
    reader = Reader(data, where)
    trial, compare = reader.part("trial"), reader.part("compare")
    options = reader.get("options", dict, default={})
    candidates = read_candidates(compare, world)
    baseline = compare.choice("baseline", candidates)
    locustfile = reader.get("locustfile", str, default=name)
    if not (SCENARIOS / f"{locustfile}.py").is_file():
        there = ", ".join(sorted(p.stem for p in SCENARIOS.glob("*.py") if p.stem != "__init__"))
        raise LabError(f"{where}: locustfile is {locustfile!r}, expected one of {there}")
    unit = reader.choice("unit", UNITS)
    scenario = Scenario(
        name=name,
        question=reader.get("question", str),
        locustfile=locustfile,
        unit=unit,
        figure=reader.choice("figure", FIGURES, default="cpu_us"),
        series=tuple(reader.get("series", list, default=[])),
        users=int(reader.number("users", above=0)),
        options=options,
        warm_up=trial.number("warm_up", above=-1e-9),
        measure=trial.number("measure", above=0),
        settle=trial.number("settle", above=-1e-9),
        rounds=int(reader.number("rounds", above=0)),
        max_error_share=read_errors(reader),
        fresh=reader.get("fresh", bool, default=False),
        baseline=baseline,
        candidates=with_rivals(candidates, baseline, compare.where),
        objective=read_objective(reader),
        capacity=read_capacity(reader, candidates, options),
        source=data,
    )
    for options_, place in [(options, "options"), *((c.options, f"compare: {c.name}") for c in candidates.values())]:
        check_rates(options_, f"{where}: {place}")
    for part in (reader, trial, compare):
        part.refuse_unknown()
    return scenario


def read_candidates(compare: Reader, world: World) -> dict[str, Candidate]:
    """Those of `candidates`, or with `topologies: all` each topology by its name."""
    given = dict(compare.get("candidates", dict, default={}))
    if compare.get("topologies", str, default="") == "all":
        polled = compare.get("without_websocket", dict, default={})
        given = {t.name: {"topology": t.name, "options": {} if t.has_websocket else polled} for t in world.topologies.values()} | given
    if not given:
        raise LabError(f"{compare.where}: expected `topologies: all` or some candidates")
    return {name: read_candidate(name, value, world, f"{compare.where}: {name}") for name, value in given.items()}


def read_candidate(name: str, data: Any, world: World, where: str) -> Candidate:
    reader = Reader(data, where)
    topology, rig = reader.get("topology", str, default=""), reader.get("rig", str, default="")
    if bool(topology) == bool(rig):
        raise LabError(f"{where}: expected either topology or rig")
    if topology and topology not in world.topologies:
        raise LabError(f"{where}: topology is {topology!r}, expected one of {', '.join(world.topologies)}")
    missing = ""
    if rig and rig not in world.targets:
        missing = f"ansible/group_vars/all/rig.yml has no target {rig!r}"
    candidate = Candidate(name, reader.get("against", str, default=""), reader.get("options", dict, default={}), topology, rig, missing)
    reader.refuse_unknown()
    return candidate


def with_rivals(candidates: dict[str, Candidate], baseline: str, where: str) -> dict[str, Candidate]:
    """Each candidate with what it is compared to: the baseline unless it says otherwise."""
    for candidate in candidates.values():
        if candidate.against and candidate.against not in candidates:
            raise LabError(f"{where}: {candidate.name}: against is {candidate.against!r}, expected one of {', '.join(candidates)}")
    return {n: Candidate(**(vars(c) | {"against": c.against or baseline})) for n, c in candidates.items()}


def read_errors(reader: Reader) -> float:
    """Errors are none, or declared with the reason."""
    if "errors" not in reader.data:
        return 0.0
    part = reader.part("errors")
    share = part.number("at_most", above=-1e-9, most=1)
    part.get("why", str)
    part.refuse_unknown()
    return share


def read_objective(reader: Reader) -> Objective | None:
    if "objective" not in reader.data:
        return None
    part = reader.part("objective")
    objective = Objective(part.choice("percentile", ("p50", "p95", "p99", "max")), part.number("below_ms", above=0))
    part.refuse_unknown()
    return objective


def read_capacity(reader: Reader, candidates: dict[str, Candidate], options: dict[str, Any]) -> Capacity | None:
    if "capacity" not in reader.data:
        return None
    part = reader.part("capacity")
    vary = part.get("vary", str)
    if vary not in options:
        raise LabError(f"{part.where}: vary is {vary!r}, expected one of the options: {', '.join(options)}")
    lowest = part.number("from", above=0)
    names = part.get("candidates", list, default=list(candidates))
    names = [n for n in names if n in candidates]
    capacity = Capacity(vary, lowest, part.number("to", above=lowest), tuple(names))
    part.refuse_unknown()
    if "objective" not in reader.data:
        raise LabError(f"{reader.where}: capacity needs an objective, such as {{percentile: p99, below_ms: 100}}")
    return capacity


def check_rates(options: dict[str, Any], where: str) -> None:
    for key, value in options.items():
        if not isinstance(value, str | int | float) or (key.endswith("_rate") and (isinstance(value, str) or value < 0)):
            expected = "a number of 0 or more" if key.endswith("_rate") else "a text or a number"
            raise LabError(f"{where}: {key} is {value!r}, expected {expected}")
