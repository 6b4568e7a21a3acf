"""Twins are not told apart, real differences are, and invalid trials don't count."""

import random

import pytest

from loadtests.lab.plan import parse_plan
from loadtests.lab.statistics import compare, correct_for_many, half_width, interval, summarise, verdict
from loadtests.lab.usage import bottleneck, growth, in_words, kernel_events, kernel_share, seconds_by_service, service_of


@pytest.fixture
def judged(plan_data, world):
    """The summary of pages, with the candidates that the trials have."""

    def judge(trials):
        names = dict.fromkeys(t["candidate"] for t in trials)
        plan_data["scenarios"]["pages"]["compare"] = {"baseline": "mixed", "candidates": {n: {"topology": "mixed"} for n in names}}
        return summarise(trials, parse_plan(plan_data, world, "x").scenarios)["pages"]

    return judge


def rounds_of(row, rng, costs, rounds=4, noise=0.02):
    """Trials of several topologies, each with a mean cost and normal noise, plus the twin of mixed."""
    trials = []
    for number in range(1, rounds + 1):
        for name, twin in [*((n, False) for n in costs), ("mixed", True)]:
            cost = costs[name] * (1 + rng.gauss(0, noise))
            cpu = {"nginx": cost / 4, "uwsgi": cost * 3 / 4}
            trials.append(row(round=number, candidate=name, twin=twin, cpu_us_total=cost, cpu_us=cpu))
    return trials


def test_identical_twins_are_seldom_told_apart(row, judged):
    rng = random.Random(1)
    apart = 0
    for _ in range(40):
        ratios = judged(rounds_of(row, rng, {"mixed": 400, "twin": 400}))["figures"]["cpu_us"]["ratios"]
        apart += ratios["twin"]["verdict"] != "within noise"
    assert apart <= 2  # about 5 % are allowed, and the noise floor lowers that


def test_a_large_difference_is_found_with_its_size(row, judged):
    rng = random.Random(2)
    part = judged(rounds_of(row, rng, {"mixed": 400, "asgi": 1200, "wsgi": 390}))
    ratios = part["figures"]["cpu_us"]["ratios"]
    assert ratios["asgi"]["verdict"] == "more"
    assert ratios["asgi"]["low"] < 3.0 < ratios["asgi"]["high"]
    assert ratios["wsgi"]["verdict"] in ("within noise", "less")
    assert part["candidates"]["asgi"]["cpu_us"]["uwsgi"]["median"] == pytest.approx(900, rel=0.05)
    assert 0 < part["figures"]["cpu_us"]["half_width"]["asgi"] < 0.05


def test_invalid_trials_take_no_part(row, judged):
    rng = random.Random(3)
    trials = rounds_of(row, rng, {"mixed": 400, "asgi": 1200})
    trials.append(row(round=1, candidate="asgi", valid=False, reasons=["x"], cpu_us_total=9e9))
    facts = judged(trials)["candidates"]["asgi"]
    assert facts["valid"] == 4 and facts["trials"] == 5
    assert facts["cpu_us_total"]["high"] < 2000


def test_three_rounds_are_too_few_to_judge(row, judged):
    ratios = judged(rounds_of(row, random.Random(4), {"mixed": 400, "asgi": 1200}, rounds=3))["figures"]["cpu_us"]["ratios"]
    assert ratios["asgi"]["verdict"] == "too few rounds"
    assert ratios["asgi"]["low"] is None


def test_a_candidate_without_a_valid_trial_has_no_ratio_and_says_why(row, judged):
    trials = [row(round=n) for n in range(1, 5)] + [row(round=1, candidate="asgi", valid=False, reasons=["it froze"])]
    part = judged(trials)
    assert part["figures"]["cpu_us"]["ratios"]["asgi"]["ratio"] is None
    assert part["figures"]["cpu_us"]["noise_floor"] is None
    assert part["candidates"]["asgi"]["why"] == "it froze"


def test_a_winner_needs_an_interval_a_small_p_and_more_than_the_noise():
    clear = {"ratio": 1.1, "low": 1.05, "high": 1.15, "p_holm": 0.005}
    assert verdict(clear, 0.02) == "more"
    assert verdict(clear | {"ratio": 0.9, "low": 0.85, "high": 0.95}, 0.02) == "less"
    assert verdict(clear | {"low": 0.99}, 0.02) == "within noise"
    assert verdict(clear | {"p_holm": 0.02}, 0.02) == "within noise"
    assert verdict(clear, 0.11) == "within noise"


def test_the_interval_says_the_same_each_time_and_holds_the_mean():
    values = [0.10, 0.12, 0.08, 0.11, 0.09]
    low, high = interval(values)
    assert interval(values) == (low, high)
    assert 0.08 < low < 0.10 < high < 0.12
    assert half_width([100.0, 101.0, 99.0]) is None


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


def test_a_counter_that_fell_began_again_and_a_level_may_fall():
    before = {"app1": {"memory": {"uwsgi.service": 100, "daphne@1.service": 50}}}
    after = {"app1": {"memory": {"uwsgi.service": 80, "daphne@1.service": 70, "ssh.service": 9, "cron.service": 1}}}
    assert growth(before, after, "memory", ["uwsgi", "daphne"], level=True) == {"uwsgi": -20, "daphne": 20, "other": 1}
    assert growth(before, after, "memory", ["uwsgi", "daphne"]) == {"uwsgi": 80, "daphne": 20, "other": 1}


def test_kernel_time_of_containers_is_counted_once_and_only_on_the_servers_cpus():
    before = {h: {"cpus": {"cpu0": [0] * 8, "cpu1": [0] * 8}} for h in ("edge", "app1")}
    after = {h: {"cpus": {"cpu0": [0, 0, 100, 0, 0, 10, 40, 5], "cpu1": [0, 0, 900, 0, 0, 0, 0, 0]}} for h in ("edge", "app1")}
    assert kernel_share(before, after, [0], True) == {"system": 1.0, "interrupts": 0.5, "stolen": 0.05}
    assert kernel_share(before, after, None, False)["system"] == 20.0


def test_swapping_and_killing_are_told():
    before = {"app1": {"kernel": {"pswpout": 5, "oom_kill": 0}}}
    after = {"app1": {"kernel": {"pswpout": 8, "oom_kill": 1}}}
    assert kernel_events(before, after) == ["3 pages were swapped out on app1", "1 processes were killed for memory on app1"]
    assert kernel_events(after, after) == []


def test_the_bottleneck_is_what_is_nearest_to_its_limit():
    before = {"app1": {"usage_usec": {"uwsgi.service": 0, "daphne@1.service": 0}}, "edge": {"usage_usec": {"nginx.service": 0}}}
    after = {
        "app1": {"usage_usec": {"uwsgi.service": 500_000, "daphne@1.service": 920_000}},
        "edge": {"usage_usec": {"nginx.service": 100_000}},
    }
    found = bottleneck(before, after, {"uwsgi_processes": 2}, 4, 1.0)
    assert in_words(found) == "daphne: 92% of the 1 process of daphne@1 on app1"
    found = bottleneck(before, after, {"uwsgi_processes": 2}, 1, 2.0)
    assert in_words(found) == "none (nearest is daphne: 76% of the 1 CPU of the servers)"
