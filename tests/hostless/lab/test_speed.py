"""The machine's speed is taken out of the costs, and nothing else is."""

import os
import random
import subprocess
import sys
import time

import pytest

from loadtests.lab import speed
from loadtests.lab.speed import adjusted, watching

COSTS = {"mixed": 400, "wsgi": 380, "asgi": 800}


def trials_of(row, rng, power, rounds=8, noise=0.02, factor=lambda name: 1.0):
    """Trials on a machine that is up to 1.8 times as slow as at its best, whose costs follow that by a power."""
    found = []
    for number in range(1, rounds + 1):
        for name, twin in [*((n, False) for n in COSTS), ("mixed", True)]:
            slow = 1 + rng.expovariate(1 / 0.25) % 0.8
            cost = COSTS[name] * factor(name) * slow**power * (1 + rng.gauss(0, noise))
            seen = {"mean_us": 500 * slow, "fastest_us": 500 * (1 + rng.random() / 100)}
            parts = {"cpu_us": {"uwsgi": cost}, "kernel_cpu_us": {"uwsgi": cost / 2}, "cpu_us_total": cost}
            found.append(row(id=f"{number}-{name}-{twin}", round=number, candidate=name, twin=twin, speed=seen, **parts))
    return found


def mean(trials, name):
    values = [t["cpu_us_total"] for t in trials if t["candidate"] == name]
    return sum(values) / len(values)


def test_costs_that_follow_the_speed_are_told_as_at_its_best(row):
    trials = trials_of(row, random.Random(1), power=0.8)
    better, found = adjusted(trials)
    assert mean(trials, "mixed") > 1.08 * COSTS["mixed"]
    for name, cost in COSTS.items():
        assert mean(better, name) == pytest.approx(cost, rel=0.03)
    assert found["power"] == pytest.approx(0.8, abs=0.1)
    assert better[0]["kernel_cpu_us"]["uwsgi"] == pytest.approx(better[0]["cpu_us_total"] / 2)


def test_a_real_difference_is_not_adjusted_away(row):
    better, _ = adjusted(trials_of(row, random.Random(2), power=0.8, factor=lambda name: 1.05 if name == "wsgi" else 1.0))
    assert mean(better, "wsgi") / mean(better, "mixed") == pytest.approx(1.05 * 380 / 400, rel=0.02)


def test_costs_that_do_not_follow_the_speed_stay_as_they_are(row):
    trials = trials_of(row, random.Random(3), power=0.0)
    same, found = adjusted(trials)
    assert same is trials
    assert found["power"] == 0.0 and found["p"] > speed.SURE


def test_too_few_or_unwatched_trials_are_not_adjusted(row):
    assert adjusted([row()] * 20)[1] is None
    assert adjusted(trials_of(row, random.Random(4), power=1.0, rounds=1))[1] is None


def test_the_power_is_that_of_valid_trials_only(row):
    trials = trials_of(row, random.Random(5), power=0.8)
    spoiled = row(id="x", valid=False, reasons=["x"], cpu_us_total=9e9, speed={"mean_us": 510, "fastest_us": 500})
    better, found = adjusted([*trials, spoiled])
    assert found["trials"] == len(trials)
    assert better[-1] is spoiled


def test_a_probe_sees_the_cpu_and_ends_with_the_block():
    cpu = min(os.sched_getaffinity(0))
    began = time.time()
    with watching([cpu]) as watch:
        deadline = time.monotonic() + 20
        while (seen := watch.between(began, time.time())) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert watch.between(began - 20, began - 10) is None
    assert 0 < seen["fastest_us"] <= seen["mean_us"] < 1e6


PARENT = """
import os, subprocess, sys, time
print(subprocess.Popen([*sys.argv[1:], str(os.getpid())], stdout=subprocess.DEVNULL).pid, flush=True)
time.sleep(60)
"""


def test_a_probe_ends_when_the_lab_is_killed():
    cpu = str(min(os.sched_getaffinity(0)))
    parent = subprocess.Popen([sys.executable, "-c", PARENT, sys.executable, speed.__file__, cpu], stdout=subprocess.PIPE, text=True)
    try:
        pid = int(parent.stdout.readline())
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    deadline = time.monotonic() + 20
    while state_of(pid) not in ("gone", "Z") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert state_of(pid) in ("gone", "Z")  # a zombie ended, though nobody has asked how


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"
