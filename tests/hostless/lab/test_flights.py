"""Requests under way are counted as they come and go, and the gate holds Little's law against them."""

import pytest

from loadtests.lab.plan import parse_plan
from loadtests.lab.trial import blamed, in_flight
from loadtests.users import merge
from loadtests.users.recorder import Recorder


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def recorder():
    clock = Clock()
    made = Recorder(clock)
    made.clock = clock
    return made


def served(recorder, starts, seconds):
    """Requests that start at these moments and take so long, one at a time."""
    for start in starts:
        recorder.clock.now = start
        recorder.sending(start)
        with recorder.flight("json"):
            recorder.clock.now = start + seconds
        recorder.answered("GET", "json", start, start, start + seconds)


def test_requests_in_flight_are_averaged_over_the_window(recorder):
    recorder.open()
    served(recorder, [100.0, 101.0, 102.0, 103.0], 0.25)
    recorder.clock.now = 104.0
    recorder.close()
    assert recorder.as_dict()["in_flight"] == {"json": pytest.approx(0.25)}


def test_a_request_counts_only_as_long_as_the_window_is_open(recorder):
    with recorder.flight("json"):
        recorder.clock.now = 101.0
        recorder.open()
        recorder.clock.now = 102.0
    with recorder.flight("json"):
        recorder.clock.now = 105.0
        recorder.close()
        recorder.clock.now = 109.0
    assert recorder.as_dict()["in_flight"] == {"json": pytest.approx(1.0)}


def test_littles_law_holds_for_an_honest_load_and_not_for_a_miscount(recorder):
    recorder.open()
    served(recorder, [100 + i / 100 for i in range(400)], 0.005)
    recorder.clock.now = 104.0
    recorder.close()
    seen = recorder.as_dict()
    law = in_flight(seen)
    assert law["requests"] == 400
    assert law["counted"] == pytest.approx(law["expected"], rel=0.02) == pytest.approx(0.5, rel=0.02)
    seen["series"]["json"]["count"] = 200  # half of the requests were forgotten
    assert in_flight(seen)["expected"] == pytest.approx(0.25, rel=0.02)


def test_a_load_that_counts_none_is_not_judged(recorder):
    recorder.open()
    recorder.clock.now = 101.0
    recorder.close()
    assert in_flight(recorder.as_dict()) is None


def test_processes_add_up(recorder):
    recorder.open()
    served(recorder, [100.0], 0.5)
    recorder.clock.now = 101.0
    recorder.close()
    document = recorder.as_dict()
    assert merge.merge([document, document])["in_flight"] == {"json": pytest.approx(1.0)}


@pytest.mark.parametrize(
    ("share", "late", "offered", "words"),
    [
        (0.99, 0, 100, "the generator used 99% of its CPUs, limit 70%: no socket was open"),
        (0.2, 90, 100, "the generator was late for 90.0% of the requests, limit 5.0%: no socket was open"),
        (0.2, 0, 900, "the generator sent 100, 900 were offered: no socket was open"),
        (0.2, 1, 100, "no socket was open"),
    ],
)
def test_a_generator_at_its_limit_is_named_where_nothing_was_served(plan_data, world, share, late, offered, words):
    gate = parse_plan(plan_data, world, "x").gate
    seen = {"generator": {"cpu_share": share}, "counters": {"woken": 100, "late": late}}
    assert blamed(seen, gate, offered, "no socket was open") == words
