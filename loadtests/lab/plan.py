"""The plan file: what is compared, under which load, for how long. Read here, checked here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .errors import LabError

PLANS = Path(__file__).parent / "plans"
ROOT = Path(__file__).resolve().parents[2]
TOPOLOGIES_FILE = ROOT / "ansible/group_vars/all/topologies.yml"
SCENARIOS = Path(__file__).parent.parent / "scenarios"
HARD_LIMIT_MINUTES = 10
START_SECONDS = 3.0
"""What a trial costs beside its load: the start of Locust, its users, the end."""


@dataclass(frozen=True)
class Topology:
    name: str
    http: str
    websocket: str

    @property
    def has_websocket(self) -> bool:
        return self.websocket != "none"


@dataclass(frozen=True)
class Scenario:
    """One locustfile and its load. `options` are the other keys: arguments of the scenario."""

    name: str
    unit: str
    users: int
    twin: bool
    options: dict[str, Any]


@dataclass(frozen=True)
class Gate:
    max_error_share: float
    max_late_share: float
    max_generator_cpu: float
    max_offered_sigma: float
    max_clock_drift: float


@dataclass(frozen=True)
class Plan:
    name: str
    question: str
    minutes: float
    rounds: int
    baseline: str
    topologies: dict[str, Topology]
    domain: str
    warm_up: float
    measure: float
    settle: float
    scenarios: dict[str, Scenario]
    gate: Gate
    source: dict[str, Any] = field(repr=False)

    @property
    def trial_seconds(self) -> float:
        return START_SECONDS + self.warm_up + self.measure + self.settle

    @property
    def trials_per_round(self) -> int:
        return sum(len(self.topologies) + scenario.twin for scenario in self.scenarios.values())


def find_plan(name: str) -> Path:
    """The file of a plan, by name or by path. Raises LabError that lists the plans there are."""
    for path in (PLANS / f"{name}.yml", Path(name)):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in PLANS.glob("*.yml")))
    raise LabError(f"There is no plan {name!r}. Plans: {known}. Or give the path of a YAML file.")


def load_plan(path: Path, topologies_file: Path = TOPOLOGIES_FILE) -> Plan:
    """Read and check a plan file. Raises LabError naming the file, the key, what was seen and what was expected."""
    data = read_yaml(path)
    return parse_plan(data, read_yaml(topologies_file), str(path))


def parse_plan(data: Any, topology_data: Any, where: str) -> Plan:
    """Check a plan that has been read. `topology_data` is the content of topologies.yml."""
    reader = Reader(data, where)
    topologies = read_topologies(topology_data)
    chosen = reader.get("topologies", (str, list), default="all")
    names = list(topologies) if chosen == "all" else chosen
    for name in names if isinstance(names, list) else [names]:
        if name not in topologies:
            raise LabError(f"{where}: topologies names {name!r}, expected some of {', '.join(topologies)}")
    baseline = reader.get("baseline", str)
    if baseline not in names:
        raise LabError(f"{where}: baseline is {baseline!r}, expected one of {', '.join(names)}")
    trial = Reader(reader.get("trial", dict), f"{where}: trial")
    gate = Reader(reader.get("gate", dict), f"{where}: gate")
    scenarios = reader.get("scenarios", dict)
    if not scenarios:
        raise LabError(f"{where}: scenarios is empty, expected at least one of {', '.join(known_scenarios())}")
    plan = Plan(
        name=reader.get("name", str),
        question=reader.get("question", str),
        minutes=reader.number("minutes", above=0, most=HARD_LIMIT_MINUTES),
        rounds=reader.get("rounds", int),
        baseline=baseline,
        topologies={name: topologies[name] for name in names},
        domain=topology_data.get("side_by_side_domain", ""),
        warm_up=trial.number("warm_up", above=-1),
        measure=trial.number("measure", above=0),
        settle=trial.number("settle", above=-1),
        scenarios={name: read_scenario(name, value, where) for name, value in scenarios.items()},
        gate=Gate(**{key: gate.number(key, above=-1) for key in Gate.__dataclass_fields__}),
        source=data,
    )
    if plan.rounds < 1:
        raise LabError(f"{where}: rounds is {plan.rounds}, expected 1 or more")
    for part in (reader, trial, gate):
        part.refuse_unknown()
    return plan


def read_topologies(data: Any) -> dict[str, Topology]:
    try:
        return {n: Topology(n, t["http"], t["websocket"]) for n, t in data["topologies"].items()}
    except (TypeError, KeyError, AttributeError) as error:
        raise LabError(
            f"topologies.yml: expected `topologies: {{name: {{http: server, websocket: server or none}}}}`, {error!r}"
        ) from error


def known_scenarios() -> list[str]:
    return sorted(path.stem for path in SCENARIOS.glob("*.py") if path.stem != "__init__")


def read_scenario(name: str, data: Any, where: str) -> Scenario:
    if name not in known_scenarios():
        raise LabError(f"{where}: scenarios names {name!r}, expected some of {', '.join(known_scenarios())}")
    reader = Reader(data, f"{where}: scenarios.{name}")
    scenario = Scenario(
        name=name,
        unit=reader.get("unit", str),
        users=reader.get("users", int),
        twin=reader.get("twin", bool, default=True),
        options={k: v for k, v in data.items() if k not in ("unit", "users", "twin")},
    )
    if scenario.users < 1:
        raise LabError(f"{where}: scenarios.{name}.users is {scenario.users}, expected 1 or more")
    for rate in ("request_rate", "message_rate"):
        if rate in scenario.options:
            reader.number(rate, above=0)
    return scenario


class Reader:
    """Takes typed values out of a mapping and says where something is wrong."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, dict):
            raise LabError(f"{where}: found {data!r}, expected a mapping")
        self.data, self.where, self.used = data, where, set()

    def get(self, key: str, kind: Any, default: Any = None) -> Any:
        self.used.add(key)
        value = self.data.get(key, default)
        if value is None:
            raise LabError(f"{self.where}: {key} is missing")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            raise LabError(f"{self.where}: {key} is {value!r}, expected {' or '.join(k.__name__ for k in kinds)}")
        return value

    def number(self, key: str, *, above: float, most: float = float("inf")) -> float:
        value = self.get(key, (int, float))
        if not above < value <= most:
            limit = f" and at most {most:g}" if most < float("inf") else ""
            raise LabError(f"{self.where}: {key} is {value}, expected a number above {above:g}{limit}")
        return float(value)

    def refuse_unknown(self) -> None:
        unknown = sorted(set(self.data) - self.used)
        if unknown:
            raise LabError(f"{self.where}: {unknown[0]!r} is no key of a plan; known: {', '.join(sorted(self.used))}")


def read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise LabError(f"{path}{line}: not YAML: {getattr(error, 'problem', error)}") from error
