"""The search finds where the objective breaks, in few steps; the law is fitted to what was seen."""

import pytest

from loadtests.lab.capacity import conclude, fit_usl, judge, next_rate, usl
from loadtests.lab.declaration import Capacity, Objective
from loadtests.lab.table import capacity_words

SEARCH = Capacity("request_rate", 50, 4000, ("mixed",))


def searched(limit, search=SEARCH):
    points = []
    while (rate := next_rate(points, search)) is not None:
        held = rate < limit
        points.append({"rate": rate, "held": held, "generator": False, "why": "" if held else "p99 was 900 ms", "throughput": rate})
    return points


@pytest.mark.parametrize("limit", [60, 333, 1000, 3999])
def test_the_search_comes_near_the_limit(limit):
    points = searched(limit)
    found = conclude(points, SEARCH)
    assert found["rate"] < limit <= found["rate"] * 1.15
    assert not found["at_least"]
    assert len(points) <= 12


def test_what_never_breaks_is_at_least_the_end_of_the_search():
    found = conclude(searched(1e9), SEARCH)
    assert found["rate"] == 4000 and found["at_least"]
    assert found["limit"] == "the search ends at 4000"


def test_what_never_holds_has_no_capacity():
    points = searched(1)
    assert [p["rate"] for p in points] == [50, 25, 12.5, 6.25]
    assert conclude(points, SEARCH)["rate"] is None


def test_a_generator_that_is_the_limit_makes_it_a_lower_bound():
    points = [{"rate": 50, "held": True, "generator": False, "why": ""}, {"rate": 57, "held": False, "generator": True, "why": "late"}]
    found = conclude([points[0] | {"throughput": 50.0}, points[1]], SEARCH)
    assert found["at_least"] and found["limit"] == "the generator: late"


def test_a_point_is_judged_by_its_objective_and_its_gate(row):
    objective = Objective("p99", 100)
    assert judge(row(), 120, objective, [], False)["held"]
    slow = judge(row(latency_ms={"p99": 130.0}), 120, objective, [], False)
    assert not slow["held"] and slow["why"] == "p99 was 130 ms, limit 100 ms"
    assert judge(row(), 120, objective, ["3 answers were wrong"], False)["why"] == "3 answers were wrong"
    assert judge({"measured": False, "failure": "no host"}, 120, objective, [], False)["why"] == "no host"


def test_the_law_is_found_again_from_points_that_follow_it():
    points = []
    for concurrency in (1, 2, 4, 8, 16, 32):
        throughput = float(usl(concurrency, 100.0, 0.05, 0.002))
        points.append({"throughput": throughput, "mean_ms": concurrency / throughput * 1e3})
    found = fit_usl(points)
    assert found["alone"] == pytest.approx(100, rel=0.01)
    assert found["contention"] == pytest.approx(0.05, rel=0.05)
    assert found["coherency"] == pytest.approx(0.002, rel=0.05)
    assert found["peak_concurrency"] == pytest.approx(21.8, rel=0.02)
    assert found["r2"] > 0.999


def test_three_points_are_too_few_for_the_law():
    assert fit_usl([{"throughput": 1.0, "mean_ms": 1.0}] * 3) is None


def test_a_point_that_the_machine_spoiled_says_nothing_and_ends_the_search():
    spoiled = {"rate": 200, "held": False, "spoiled": True, "generator": False, "why": "the machine's speed changed by 50%"}
    points = [{"rate": 100, "held": True, "throughput": 99.0}, spoiled]
    assert next_rate(points, SEARCH) is None
    found = conclude(points, SEARCH)
    assert (found["rate"], found["at_least"]) == (100, True)
    assert found["limit"] == "the search ended early: the machine's speed changed by 50%"
    nothing = conclude(points[1:], SEARCH)
    assert nothing["rate"] is None and "not found" in capacity_words(nothing)
