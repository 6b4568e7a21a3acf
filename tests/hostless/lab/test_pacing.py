"""The truth about latency: a frozen server must show, whoever asks it."""

import itertools
import random
import time

import gevent
import pytest

from loadtests.users.pacing import Pacer, Tally, constant, poisson

FREEZE = 1.5
MEASURED = 3.0


class Counting(Tally):
    def __init__(self):
        self.dropped = self.overdue = self.starts = 0

    def woke(self, intended, lateness):
        self.starts += 1

    def drop(self, intended):
        self.dropped += 1

    def behind(self, intended):
        self.overdue += 1


def take(schedule, n):
    return list(itertools.islice(schedule, n))


def test_constant_starts_do_not_drift_with_their_number():
    starts = take(constant(100, 50.0, random.Random(1)), 1001)
    assert starts[1000] - starts[0] == pytest.approx(10.0, abs=1e-9)
    assert 50.0 <= starts[0] < 50.01


def test_poisson_arrivals_have_the_rate_and_the_spread_of_an_open_population():
    starts = take(poisson(100, 0.0, random.Random(7)), 20_000)
    gaps = [b - a for a, b in itertools.pairwise(starts)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((g - mean) ** 2 for g in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(0.01, rel=0.03)
    assert deviation == pytest.approx(mean, rel=0.05)


def test_the_same_seed_gives_the_same_arrivals():
    assert take(poisson(5, 0.0, random.Random(3)), 50) == take(poisson(5, 0.0, random.Random(3)), 50)


def test_arrivals_above_the_cap_are_dropped_and_counted():
    tally = Counting()
    sent = []

    def never_answers(intended):
        sent.append(intended)
        gevent.sleep(60)

    pacer = Pacer(never_answers, rate=500, tally=tally, in_flight=5, rng=random.Random(1))
    with gevent.Timeout(0.3, False):
        pacer.run()
    pacer.stop()
    assert len(sent) == 5
    assert tally.dropped == tally.starts - 5 > 50


def test_catching_up_sends_what_was_missed():
    tally = Counting()
    sent = []

    def slow_once(intended):
        sent.append(intended)
        if len(sent) == 1:
            gevent.sleep(0.2)

    began = time.monotonic()
    with gevent.Timeout(0.4, False):
        Pacer(slow_once, rate=100, tally=tally, pacing="constant", rng=random.Random(1)).run()
    due = (time.monotonic() - began) * 100
    assert due - 4 <= len(sent) <= due + 1
    assert tally.overdue >= 18


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rate": 0}, "more than 0"),
        ({"rate": 1, "pacing": "x"}, "poisson"),
        ({"rate": 1, "in_flight": 0}, "at least 1"),
    ],
)
def test_wrong_arguments_say_what_was_expected(arguments, words):
    with pytest.raises(ValueError, match=words):
        Pacer(print, tally=Tally(), **arguments)


@pytest.mark.parametrize("pacing", ["poisson", "constant"])
def test_a_frozen_server_shows_in_the_latency_but_not_in_the_load(start_server, run_locust, pacing):
    from loadtests.users.histograms import merge, percentiles_ms

    port = start_server("--freeze-at", "1.2", "--freeze", str(FREEZE))
    code, output, seen = run_locust(
        "pages", port, "-u", "10", "--request-rate", "20", "--pacing", pacing, "--mix", "json=1", "--seed", "4",
        "--warm-up", "0.5", "--measure", str(MEASURED),
    )  # fmt: skip
    assert code == 0, output
    latency = percentiles_ms(merge([s["latency"] for s in seen["series"].values()]))
    # Who arrives in the freeze waits for the rest of it: the slowest hundredth of all waited at least this long.
    expected = 1000 * (FREEZE - 0.01 * MEASURED)
    assert latency["p99"] >= 0.8 * expected
    count = sum(s["count"] for s in seen["series"].values())
    assert count == pytest.approx(200 * MEASURED, rel=0.15)
    assert not seen["counters"].get("dropped")
