"""A plan or a declaration with a mistake gives one line that says which, and what was expected."""

import copy

import pytest

from loadtests.lab.__main__ import main
from loadtests.lab.declaration import SCENARIOS, declared, overridden
from loadtests.lab.errors import LabError
from loadtests.lab.plan import PLANS, expand, parse_plan, trial_seconds
from loadtests.lab.reading import read_yaml
from loadtests.lab.trial import address, load_arguments, ready_url, timetable
from loadtests.lab.world import load_world, make_world


def changed(data, path, value):
    data = copy.deepcopy(data)
    *parents, key = path.split(".")
    place = data
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[key]
    else:
        place[key] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("minutes", 300, "minutes is 300, expected a number above 0 and at most 120"),
        ("gate.max_late_share", "few", "max_late_share is 'few', expected int or float"),
        ("gate.max_lateness", 1, "'max_lateness' is no key here"),
        ("colour", "red", "'colour' is no key here"),
        ("scenarios.pages.rounds", "four", "rounds is 'four', expected int or float"),
        ("scenarios.pages.rounds", 0, "rounds is 0, expected a number above 0"),
        ("scenarios.pages.users", 0, "users is 0, expected a number above 0"),
        ("scenarios.pages.unit", "page", "unit is 'page', expected one of request, delivery, socket, return"),
        ("scenarios.pages.figure", "p98", "figure is 'p98', expected one of cpu_us, p50"),
        ("scenarios.pages.locustfile", "x", "locustfile is 'x', expected one of "),
        ("scenarios.pages.trial.measure", None, "trial: measure is missing"),
        ("scenarios.pages.options.request_rate", -1, "request_rate is -1, expected a number of 0 or more"),
        ("scenarios.pages.compare.baseline", "asgl", "baseline is 'asgl', expected one of wsgi, asgi, mixed"),
        ("scenarios.pages.compare.candidates", {"x": {"topology": "y"}}, "x: topology is 'y', expected one of wsgi, asgi, mixed"),
        ("scenarios.pages.compare.candidates", {"x": {"topology": "wsgi", "rig": "y"}}, "x: expected either topology or rig"),
        ("scenarios.pages.compare.candidates", {"x": {"topology": "wsgi", "against": "y"}}, "x: against is 'y', expected one of"),
        ("scenarios.pages.capacity", {"vary": "x", "from": 1, "to": 2}, "vary is 'x', expected one of the options: request_rate"),
        ("scenarios.pages.capacity", {"vary": "request_rate", "from": 5, "to": 2}, "to is 2, expected a number above 5"),
        ("scenarios.chat.capacity", {"vary": "message_rate", "from": 1, "to": 2}, "capacity needs an objective"),
        ("scenarios.pages.objective", {"percentile": "p42", "below_ms": 9}, "percentile is 'p42', expected one of p50"),
        ("scenarios.pages.errors", {"at_most": 0.1}, "errors: why is missing"),
    ],
)
def test_a_mistake_is_named(plan_data, world, path, value, words):
    with pytest.raises(LabError) as caught:
        parse_plan(changed(plan_data, path, value), world, "bench.yml")
    assert words in str(caught.value)
    assert "bench.yml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_yaml_gives_the_line(tmp_path):
    file = tmp_path / "plan.yml"
    file.write_text("name: a\nrounds: [1\n")
    with pytest.raises(LabError, match="line 3: not YAML"):
        read_yaml(file)


def test_the_command_line_shows_no_traceback(capsys):
    assert main(["bench", "--plan", "nowhere"]) == 2
    assert "Plans: bench, full" in capsys.readouterr().err
    assert main(["bench", "--scenario", "nothing"]) == 2
    assert "There is no scenario 'nothing'. Scenarios: chat, floor" in capsys.readouterr().err
    assert main(["bench", "--environment", "nowhere"]) == 2
    assert "There is no environment 'nowhere'" in capsys.readouterr().err
    assert main(["report", "/nowhere"]) == 2
    assert "Run `make bench`" in capsys.readouterr().err


def test_a_new_topology_needs_a_line_of_data_and_no_code(plan_data):
    topologies = read_yaml(PLANS.parents[2] / "ansible/group_vars/all/topologies.yml")
    topologies["topologies"]["granian"] = {"http": "granian", "websocket": "granian"}
    plan = parse_plan(plan_data, make_world(topologies), "bench.yml")
    assert {slot.candidate for slot in timetable(plan, 1)} == {"wsgi", "asgi", "mixed", "granian"}


def test_every_declaration_is_right_in_itself(plan_data):
    names = [path.stem for path in SCENARIOS.glob("*.yml")]
    assert sorted(names) == sorted(read_yaml(PLANS / "full.yml")["scenarios"])
    known = [path.stem for path in SCENARIOS.glob("*.py")]
    ready = [name for name in names if declared(name).get("locustfile", name) in known]
    assert {"pages", "chat"} <= set(ready)
    plan = parse_plan(plan_data | {"scenarios": {name: declared(name) for name in ready}}, load_world(), "declarations")
    for scenario in plan.scenarios.values():
        assert scenario.rounds >= 4, f"{scenario.name}: fewer rounds than are judged"
        assert scenario.question.endswith("?")


def test_the_committed_bench_fits_ten_minutes():
    path = PLANS / "bench.yml"
    plan = parse_plan(expand(read_yaml(path), str(path)), load_world(), str(path))
    assert plan.seconds < plan.minutes * 60 < 600


def test_a_plan_changes_a_declaration_without_touching_the_rest():
    data = overridden(declared("chat"), {"rounds": 9, "trial": {"measure": 1}, "candidates": ["mixed", "asgi"], "capacity": False}, "x")
    assert data["rounds"] == 9 and data["trial"] == declared("chat")["trial"] | {"measure": 1}
    assert list(data["compare"]["candidates"]) == ["mixed", "asgi"]
    assert "capacity" not in data and data["question"] == declared("chat")["question"]
    with pytest.raises(LabError, match="candidates is \\['nobody'\\], expected some of mixed"):
        overridden(declared("chat"), {"candidates": ["nobody"]}, "x")


def test_a_scenario_of_the_command_line_that_the_plan_lacks_is_taken_as_declared():
    data = expand(read_yaml(PLANS / "bench.yml"), "bench.yml", ["push"], 7)
    assert list(data["scenarios"]) == ["push"]
    assert data["scenarios"]["push"] == declared("push") | {"rounds": 7}


def test_rounds_are_shuffled_complete_and_repeatable(plan_data, world):
    plan = parse_plan(plan_data, world, "bench.yml")
    slots = timetable(plan, 11)
    assert slots == timetable(plan, 11) != timetable(plan, 12)
    orders = []
    for number in range(1, 5):
        pages = [s for s in slots if s.round == number and s.scenario == "pages"]
        assert sorted((s.candidate, s.twin) for s in pages) == [
            ("asgi", False), ("mixed", False), ("mixed", True), ("wsgi", False)
        ]  # fmt: skip
        assert len({s.seed for s in pages}) == 1  # the same arrivals for all
        orders.append(tuple((s.candidate, s.twin) for s in pages))
    assert len(set(orders)) > 1


def test_chat_is_polled_where_there_is_no_websocket(plan_data, world):
    plan = parse_plan(plan_data, world, "bench.yml")
    for slot in timetable(plan, 1):
        arguments = load_arguments(plan, slot, "https://x:1")
        if slot.scenario == "chat":
            transport = arguments[arguments.index("--transport") + 1]
            assert transport == ("polling" if slot.candidate == "wsgi" else "websocket")


def test_rates_are_of_all_users_together(plan_data, world):
    plan = parse_plan(plan_data, world, "bench.yml")
    slot = timetable(plan, 1)[0]
    arguments = load_arguments(plan, slot, "https://x:1")
    assert arguments[arguments.index("--request-rate") + 1] == "6.0"
    arguments = load_arguments(plan, slot, "https://x:1", {"request_rate": 900})
    assert arguments[arguments.index("--request-rate") + 1] == "90.0"


def test_a_target_of_the_rig_is_asked_at_its_own_name_and_a_missing_one_says_so(plan_data, world):
    rig = {"bare": {"rig": "floor-wsgi"}, "gone": {"rig": "floor-x"}, "mixed": {"topology": "mixed"}}
    data = changed(plan_data, "scenarios.pages.compare", {"baseline": "mixed", "candidates": rig})
    plan = parse_plan(data, world, "bench.yml")
    pages = plan.scenarios["pages"]
    assert address(plan, pages, "bare", 8443) == "https://floor-wsgi.laurel.test:8443"
    assert ready_url(plan, pages, "bare", 8443) == "https://floor-wsgi.laurel.test:8443/bare"
    assert ready_url(plan, pages, "mixed", 8443) == "https://mixed.laurel.test:8443/readyz"
    assert pages.candidates["gone"].missing == "ansible/group_vars/all/rig.yml has no target 'floor-x'"
    assert [s.scenario for s in timetable(plan, 1)][-1] == "pages"  # what needs the rig comes last


def test_time_is_guessed_from_the_trials(plan_data, world):
    plan = parse_plan(plan_data, world, "bench.yml")
    assert plan.seconds == pytest.approx(45 + 32 * trial_seconds(plan.scenarios["pages"]))
