"""Twins are not told apart, real differences are, and invalid trials don't count."""

import random

import pytest

from loadtests.lab.cpu import seconds_by_service, service_of
from loadtests.lab.statistics import compare, correct_for_many, summarise


def rounds_of(row, rng, costs, rounds=4, noise=0.02):
    """Trials of several topologies, each with a mean cost and normal noise, plus the twin of mixed."""
    trials = []
    for number in range(1, rounds + 1):
        for name, twin in [*((n, False) for n in costs), ("mixed", True)]:
            cost = costs[name] * (1 + rng.gauss(0, noise))
            cpu = {"nginx": cost / 4, "uwsgi": cost * 3 / 4}
            trials.append(row(round=number, topology=name, twin=twin, cpu_us_total=cost, cpu_us=cpu))
    return trials


def test_identical_twins_are_seldom_told_apart(row):
    rng = random.Random(1)
    apart = 0
    for _ in range(60):
        ratios = summarise(rounds_of(row, rng, {"mixed": 400, "twin": 400}), "mixed")["pages"]["ratios"]
        apart += ratios["twin"]["verdict"] != "within noise"
    assert apart <= 4  # about 5 % are allowed, and the noise floor lowers that


def test_a_large_difference_is_found_with_its_size(row):
    rng = random.Random(2)
    part = summarise(rounds_of(row, rng, {"mixed": 400, "asgi": 1200, "wsgi": 390}), "mixed")["pages"]
    assert part["ratios"]["asgi"]["verdict"] == "more"
    assert part["ratios"]["asgi"]["low"] < 3.0 < part["ratios"]["asgi"]["high"]
    assert part["ratios"]["wsgi"]["verdict"] in ("within noise", "less")
    assert part["topologies"]["asgi"]["cpu_us"]["uwsgi"]["median"] == pytest.approx(900, rel=0.05)


def test_invalid_trials_take_no_part(row):
    rng = random.Random(3)
    trials = rounds_of(row, rng, {"mixed": 400, "asgi": 1200})
    trials.append(row(round=1, topology="asgi", valid=False, cpu_us_total=9e9))
    facts = summarise(trials, "mixed")["pages"]["topologies"]["asgi"]
    assert facts["valid"] == 4 and facts["trials"] == 5
    assert facts["cpu_us_total"]["high"] < 2000


def test_two_rounds_are_too_few_for_an_interval(row):
    ratios = summarise(rounds_of(row, random.Random(4), {"mixed": 400, "asgi": 1200}, rounds=2), "mixed")
    assert ratios["pages"]["ratios"]["asgi"]["verdict"] == "too few rounds"
    assert ratios["pages"]["ratios"]["asgi"]["low"] is None


def test_a_topology_without_a_valid_trial_has_no_ratio(row):
    trials = [row(round=n) for n in range(1, 5)] + [row(round=1, topology="asgi", valid=False)]
    part = summarise(trials, "mixed")["pages"]
    assert part["ratios"]["asgi"]["ratio"] is None
    assert part["noise_floor"] is None


def test_rounds_are_paired():
    drifting = {1: 100.0, 2: 200.0, 3: 400.0, 4: 800.0}
    ratio = compare(drifting, {n: v * 1.1 * (1 + 0.001 * n) for n, v in drifting.items()})
    assert ratio["ratio"] == pytest.approx(1.10, rel=0.01)
    assert ratio["high"] - ratio["low"] < 0.02


def test_holm_multiplies_the_smallest_by_the_number_and_never_steps_back():
    ratios = {n: {"p": p} for n, p in {"a": 0.01, "b": 0.04, "c": 0.03}.items()}
    correct_for_many(ratios)
    assert [ratios[n]["p_holm"] for n in "abc"] == pytest.approx([0.03, 0.06, 0.06])


def test_cpu_time_is_summed_by_service_over_hosts():
    before = {
        "app1": {"at": 0, "usage_usec": {"uwsgi.service": 5, "daphne@1.service": 1, "cron.service": 0}},
        "data": {"at": 0, "usage_usec": {"redis-server.service": 10, "ssh.service": 0}},
    }
    after = {
        "app1": {"at": 1, "usage_usec": {"uwsgi.service": 1_000_005, "daphne@1.service": 500_001, "cron.service": 7}},
        "data": {"at": 1, "usage_usec": {"redis-server.service": 20, "ssh.service": 99}},
    }
    used, doubts = seconds_by_service(before, after, ["uwsgi", "daphne", "redis"])
    assert used == pytest.approx({"uwsgi": 1.0, "daphne": 0.5, "redis": 1e-5, "other": 7e-6})
    assert doubts == []


def test_a_restarted_or_stopped_unit_is_reported():
    before = {"app1": {"at": 0, "usage_usec": {"uwsgi.service": 500, "daphne@1.service": 9}}}
    after = {"app1": {"at": 1, "usage_usec": {"uwsgi.service": 20, "cron.service": 3}}}
    _, doubts = seconds_by_service(before, after, ["uwsgi", "daphne"])
    assert any("uwsgi.service on app1 was restarted" in d for d in doubts)
    assert any("daphne@1.service on app1 stopped" in d for d in doubts)


def test_units_belong_to_services():
    assert service_of("daphne@2.service") == "daphne"
    assert service_of("redis-server.service") == "redis"
    assert service_of("postgresql@15-main.service") == "postgresql"
