"""Two results are compared only where they are of the same kind, and equal ones are not told apart."""

import copy
import random
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.lab import results
from loadtests.lab.compare import compare, render, unpaired
from loadtests.lab.errors import LabError
from loadtests.lab.plan import parse_plan
from loadtests.lab.statistics import summarise

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def result(plan_data, world, row):
    """Make a result of pages with a mean cost."""
    plan_data["scenarios"] = {"pages": plan_data["scenarios"]["pages"]}
    plan = parse_plan(plan_data, world, "x")

    def make(cost, seed):
        rng = random.Random(seed)
        slots = [(n, name, twin) for n in range(1, 6) for name, twin in [("mixed", False), ("mixed", True), ("asgi", False)]]
        trials = [row(round=n, candidate=c, twin=t, cpu_us_total=cost * (1 + rng.gauss(0, 0.01))) for n, c, t in slots]
        provenance = {"machine": {"cpu": "X"}, "pinning": {}, "sizes": {}, "load_code_sha256": "0"}
        summary = summarise(trials, plan.scenarios)
        return {"method": 2, "plan": copy.deepcopy(plan_data), "trials": trials, "summary": summary, "provenance": provenance}

    return make


def test_a_change_is_found_and_no_change_is_not(result):
    before = result(400, 1)
    slower = compare(before, result(440, 2))["pages"]["cpu_us"]["mixed"]
    assert slower["verdict"] == "more" and slower["low"] < 1.1 < slower["high"]
    found = compare(before, result(400, 3))
    assert found["pages"]["cpu_us"]["mixed"]["verdict"] == "within noise"
    assert "within the noise floor" in render(found, "a", "b")


def test_results_of_another_kind_are_refused(result):
    a, b = result(400, 1), result(400, 2)
    with pytest.raises(LabError, match="Method versions 2 and 3"):
        compare(a, b | {"method": 3})
    with pytest.raises(LabError, match="another machine"):
        compare(a, b | {"provenance": b["provenance"] | {"machine": {"cpu": "Y"}}})
    b["plan"]["scenarios"]["pages"]["options"]["request_rate"] = 90
    with pytest.raises(LabError, match="its options was"):
        compare(a, b)
    with pytest.raises(LabError, match="share no scenario: pages and chat"):
        compare(a, b | {"summary": {"chat": {}}})


def test_a_result_that_is_cut_in_half_is_one_line_and_stays_as_it_is(result, tmp_path):
    results.write(tmp_path, result(400, 1))
    file = tmp_path / "result.json"
    half = file.read_bytes()[: file.stat().st_size // 2]
    file.write_bytes(half)
    done = subprocess.run([sys.executable, "-m", "loadtests.lab", "report", tmp_path], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "result.json is no JSON" in line and "make bench" in line
    assert file.read_bytes() == half and list(tmp_path.iterdir()) == [file]


def test_three_trials_are_too_few():
    assert unpaired([1.0, 1.1, 1.2], [2.0] * 5)["low"] is None
