"""From valid trials to medians, ratios and what may be said about them.

The unit is the trial. Topologies are compared within each round (paired), as log-ratios of CPU time per unit; the
interval is Student's over the rounds, and Holm's correction covers several comparisons. The twin of the baseline
shows by how much equal things differ here: the noise floor.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
FEWEST_ROUNDS = 3
"""With fewer paired rounds no interval is given."""


def spread(values: list[float]) -> dict[str, float]:
    """`{"median", "low", "high", "n"}`: low and high are the smallest and largest trial."""
    return {"median": float(np.median(values)), "low": min(values), "high": max(values), "n": len(values)}


def summarise(trials: list[dict[str, Any]], baseline: str, order: Iterable[str] = ()) -> dict[str, Any]:
    """`{scenario: {"topologies": {name: …}, "ratios": {name: …}, "noise_floor": share or None}}`, in `order`."""
    summary: dict[str, Any] = {}
    for scenario in dict.fromkeys(t["scenario"] for t in trials):
        here = [t for t in trials if t["scenario"] == scenario]
        found = dict.fromkeys(t["topology"] for t in here)
        names = [n for n in order if n in found] or list(found)
        ratios = {n: compare(totals(here, baseline), totals(here, n)) for n in names if n != baseline}
        twin = compare(totals(here, baseline), totals(here, baseline, twin=True))
        # The statistic by which the others are judged, of two things that are equal.
        floor = abs(twin["ratio"] - 1) if twin["ratio"] else None
        correct_for_many(ratios)
        for ratio in ratios.values():
            ratio["verdict"] = verdict(ratio, floor)
        summary[scenario] = {
            "unit": here[0]["unit"],
            "topologies": {n: describe([t for t in here if t["topology"] == n and not t["twin"]]) for n in names},
            "ratios": ratios,
            "twin": twin if twin["each"] else None,
            "noise_floor": floor,
        }
    return summary


def totals(trials: list[dict[str, Any]], topology: str, twin: bool = False) -> dict[int, float]:
    """CPU µs per unit by round, valid trials only."""
    return {t["round"]: t["cpu_us_total"] for t in trials if t["valid"] and t["topology"] == topology and t["twin"] == twin}


def describe(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians with their spread over the valid trials of one topology."""
    good = [t for t in trials if t["valid"]]
    result: dict[str, Any] = {"trials": len(trials), "valid": len(good)}
    if not good:
        return result
    services = sorted({s for t in good for s in t["cpu_us"]})
    return result | {
        "cpu_us": {s: spread([t["cpu_us"].get(s, 0.0) for t in good]) for s in services},
        "cpu_us_total": spread([t["cpu_us_total"] for t in good]),
        "latency_ms": {q: spread([t["latency_ms"][q] for t in good]) for q in good[0]["latency_ms"]},
        "requests_per_second": spread([t["requests_per_second"] for t in good]),
        "messages_per_second": spread([t["messages_per_second"] for t in good]),
        "errors": sum(t["errors"] for t in good),
        "servers_busy": spread([sum(t["cpu_busy"].values()) for t in good]),
        "busiest": max(good, key=lambda t: t["cpu_us_total"])["busiest"],
        "transport": good[0]["transport"],
    }


def compare(base: dict[int, float], other: dict[int, float]) -> dict[str, Any]:
    """Ratio other/base over the rounds that have both: geometric mean, interval, p-value; None where too few."""
    rounds = sorted(base.keys() & other.keys())
    logs = [math.log(other[r] / base[r]) for r in rounds]
    result: dict[str, Any] = {"each": [math.exp(x) for x in logs], "ratio": None, "low": None, "high": None, "p": None}
    if not logs:
        return result
    result["ratio"] = math.exp(float(np.mean(logs)))
    if len(logs) < FEWEST_ROUNDS or np.ptp(logs) == 0:
        return result
    test = stats.ttest_1samp(logs, 0.0)
    interval = test.confidence_interval(CONFIDENCE)
    return result | {"low": math.exp(interval.low), "high": math.exp(interval.high), "p": float(test.pvalue)}


def correct_for_many(ratios: dict[str, dict[str, Any]]) -> None:
    """Add `p_holm` to each ratio that has a p-value (Holm 1979: step down, never below the one before)."""
    ordered = sorted((r for r in ratios.values() if r["p"] is not None), key=lambda r: r["p"])
    largest = 0.0
    for index, ratio in enumerate(ordered):
        largest = max(largest, min(1.0, ratio["p"] * (len(ordered) - index)))
        ratio["p_holm"] = largest


def verdict(ratio: dict[str, Any], noise_floor: float | None) -> str:
    """`less`, `more`, `within noise` or `too few rounds`."""
    if ratio["low"] is None:
        return "too few rounds"
    if ratio["p_holm"] > 1 - CONFIDENCE or abs(ratio["ratio"] - 1) <= (noise_floor or 0.0):
        return "within noise"
    return "more" if ratio["ratio"] > 1 else "less"
