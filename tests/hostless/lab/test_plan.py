"""A plan with a mistake gives one line that says which, and what was expected."""

import copy

import pytest

from loadtests.lab.__main__ import main
from loadtests.lab.errors import LabError
from loadtests.lab.plan import parse_plan, read_yaml
from loadtests.lab.trial import load_arguments, timetable


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
        ("minutes", 30, "minutes is 30, expected a number above 0 and at most 10"),
        ("rounds", "four", "rounds is 'four', expected int"),
        ("rounds", 0, "rounds is 0, expected 1 or more"),
        ("baseline", "asgl", "baseline is 'asgl', expected one of wsgi, asgi, mixed"),
        ("topologies", ["wsgi", "x"], "topologies names 'x', expected some of wsgi, asgi, mixed"),
        ("trial.measure", None, "trial: measure is missing"),
        ("scenarios.pages.request_rate", -1, "request_rate is -1, expected a number above 0"),
        ("scenarios.pages.users", 0, "users is 0, expected 1 or more"),
        ("scenarios.nothing", {}, "scenarios names 'nothing', expected some of chat, idle, isolation, mixed, pages"),
        ("gate.max_late_share", "few", "max_late_share is 'few', expected int or float"),
        ("gate.max_lateness", 1, "'max_lateness' is no key of a plan"),
        ("colour", "red", "'colour' is no key of a plan"),
    ],
)
def test_a_mistake_in_the_plan_is_named(plan_data, path, value, words):
    data, topologies = plan_data
    with pytest.raises(LabError) as caught:
        parse_plan(changed(data, path, value), topologies, "bench.yml")
    assert words in str(caught.value)
    assert "bench.yml" in str(caught.value)


def test_a_file_that_is_no_yaml_gives_the_line(tmp_path):
    file = tmp_path / "plan.yml"
    file.write_text("name: a\nrounds: [1\n")
    with pytest.raises(LabError, match="line 3: not YAML"):
        read_yaml(file)


def test_the_command_line_shows_no_traceback(capsys):
    assert main(["bench", "--plan", "nowhere"]) == 1
    assert "Plans: bench" in capsys.readouterr().err
    assert main(["bench", "--environment", "nowhere"]) == 1
    assert "There is no environment 'nowhere'" in capsys.readouterr().err
    assert main(["report", "/nowhere"]) == 1
    assert "Run `make bench`" in capsys.readouterr().err


def test_a_new_topology_needs_a_line_of_data_and_no_code(plan_data):
    data, topologies = copy.deepcopy(plan_data)
    topologies["topologies"]["granian"] = {"http": "granian", "websocket": "granian"}
    plan = parse_plan(data, topologies, "bench.yml")
    assert {slot.topology for slot in timetable(plan, 1)} == {"wsgi", "asgi", "mixed", "granian"}


def test_the_committed_plan_fits_its_minutes(plan_data):
    plan = parse_plan(*plan_data, "bench.yml")
    assert len(timetable(plan, 1)) == plan.rounds * plan.trials_per_round
    assert plan.rounds * plan.trials_per_round * plan.trial_seconds < plan.minutes * 60


def test_rounds_are_shuffled_complete_and_repeatable(plan_data):
    plan = parse_plan(*plan_data, "bench.yml")
    slots = timetable(plan, 11)
    assert slots == timetable(plan, 11) != timetable(plan, 12)
    orders = []
    for number in range(1, plan.rounds + 1):
        pages = [s for s in slots if s.round == number and s.scenario == "pages"]
        assert sorted((s.topology, s.twin) for s in pages) == [
            ("asgi", False), ("mixed", False), ("mixed", True), ("wsgi", False)
        ]  # fmt: skip
        assert len({s.seed for s in pages}) == 1  # the same arrivals for all
        orders.append(tuple((s.topology, s.twin) for s in pages))
    assert len(set(orders)) > 1


def test_chat_is_polled_where_there_is_no_websocket(plan_data):
    plan = parse_plan(*plan_data, "bench.yml")
    for slot in timetable(plan, 1):
        arguments = load_arguments(plan, slot, "https://x:1")
        transport = arguments[arguments.index("--transport") + 1]
        assert transport == ("polling" if slot.topology == "wsgi" else "websocket")
        if slot.scenario == "pages":
            assert float(arguments[arguments.index("--request-rate") + 1]) * 10 == 60
