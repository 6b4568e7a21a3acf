"""A plan: which scenarios are run, with which changes, in how many minutes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .declaration import Scenario, declared, known_scenarios, overridden, parse_scenario
from .errors import LabError
from .reading import Reader, read_yaml
from .world import World, load_world

PLANS = Path(__file__).parent / "plans"
GATE_FILE = Path(__file__).parent / "gate.yml"
START_SECONDS = 2.5
"""What a trial costs beside its load: the start of Locust, its users, the calibration, the end."""
PREPARE_SECONDS = 45.0
"""What a run costs beside its trials: serving side by side, and back."""


@dataclass(frozen=True)
class Gate:
    max_late_share: float
    max_generator_cpu: float
    max_offered_sigma: float
    max_little_apart: float
    max_clock_drift: float
    max_slowdown: float


@dataclass(frozen=True)
class Plan:
    name: str
    question: str
    minutes: float
    scenarios: dict[str, Scenario]
    gate: Gate
    world: World
    source: dict[str, Any] = field(repr=False)
    """The plan with all declarations in it: enough to go on with an unfinished run."""

    @property
    def seconds(self) -> float:
        """About how long it takes."""
        return PREPARE_SECONDS + sum(scenario_seconds(s) for s in self.scenarios.values())


def trial_seconds(scenario: Scenario) -> float:
    return START_SECONDS + scenario.warm_up + scenario.measure + scenario.settle


def scenario_seconds(scenario: Scenario) -> float:
    ready = sum(not c.missing for c in scenario.candidates.values())
    searches = len(scenario.capacity.candidates) * 8 if scenario.capacity else 0
    return ((ready + 1) * scenario.rounds + searches) * trial_seconds(scenario)


def find_plan(name: str) -> Path:
    """The file of a plan, by name or by path. Raises LabError that lists the plans there are."""
    for path in (PLANS / f"{name}.yml", Path(name)):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in PLANS.glob("*.yml")))
    raise LabError(f"There is no plan {name!r}. Plans: {known}. Or give the path of a YAML file.")


def load_plan(path: Path, only: list[str] | None = None, rounds: int | None = None) -> Plan:
    """Read a plan and the declarations it names, narrowed to the scenarios `only`, and check it all."""
    return parse_plan(expand(read_yaml(path), str(path), only, rounds), load_world(), str(path))


def expand(data: Any, where: str, only: list[str] | None = None, rounds: int | None = None) -> dict[str, Any]:
    """The plan's content with the declaration of each scenario, as the plan changes it, in its place.

    A scenario of `only` that the plan does not name is taken as it is declared.
    """
    if not isinstance(data, dict) or not isinstance(data.get("scenarios"), dict) or not data["scenarios"]:
        raise LabError(f"{where}: scenarios: expected a mapping of at least one of {', '.join(known_scenarios())}")
    wanted = {name: data["scenarios"].get(name) for name in only or data["scenarios"]}
    scenarios = {}
    for name, changes in wanted.items():
        if changes is not None and not isinstance(changes, dict):
            raise LabError(f"{where}: scenarios.{name} is {changes!r}, expected a mapping of what differs from its declaration")
        scenarios[name] = overridden(declared(name), changes, f"{where}: scenarios.{name}")
        if rounds is not None:
            scenarios[name]["rounds"] = rounds
    return data | {"scenarios": scenarios, "gate": read_yaml(GATE_FILE) | (data.get("gate") or {})}


def parse_plan(data: dict[str, Any], world: World, where: str) -> Plan:
    """Check a plan that has been expanded."""
    reader = Reader(data, where)
    gate = reader.part("gate")
    scenarios = reader.get("scenarios", dict)
    plan = Plan(
        name=reader.get("name", str),
        question=reader.get("question", str),
        minutes=reader.number("minutes", above=0, most=120),
        scenarios={name: parse_scenario(name, value, world, f"{where}: scenarios.{name}") for name, value in scenarios.items()},
        gate=Gate(**{key: gate.number(key, above=-1e-9) for key in Gate.__dataclass_fields__}),
        world=world,
        source=data,
    )
    reader.refuse_unknown()
    gate.refuse_unknown()
    return plan
