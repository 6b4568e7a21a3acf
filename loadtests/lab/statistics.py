"""From valid trials to medians, ratios and what may be said about them.

The unit is the trial. Candidates are compared within each round (paired), as log-ratios. The interval is scipy's bootstrap over
the rounds, bias-corrected and accelerated where it can be; p-values are Student's, and Holm's correction covers several
comparisons. The twin of the baseline shows by how much equal things differ here: the noise floor. A difference is only called one
when the interval excludes 1, the corrected p-value is small, and the ratio lies outside the noise floor.
"""

import math
import warnings
from typing import Any

import numpy as np
from scipy import stats

from loadtests.users.histograms import encode, merge, percentiles_ms

from .declaration import Scenario
from .speed import adjusted

CONFIDENCE = 0.95
SIGNIFICANCE = 0.01
"""Largest corrected p-value of a difference: twins must hardly ever be told apart."""
FEWEST_ROUNDS = 4
"""With fewer paired rounds nothing is judged."""
RESAMPLES = 9999
BOOTSTRAP_SEED = 1
"""Fixed, so that a report made again says the same."""


def spread(values: list[float]) -> dict[str, float]:
    """`{"median", "low", "high", "n"}`: low and high are the smallest and largest trial."""
    return {"median": float(np.median(values)), "low": min(values), "high": max(values), "n": len(values)}


def figure_of(row: dict[str, Any], figure: str) -> float | None:
    """A trial's value of a figure (see `declaration.FIGURES`); None where it has none."""
    if figure == "cpu_us":
        return row["cpu_us_total"]
    if figure == "memory_kib":
        return row.get("memory_kib_per_unit")
    return row["latency_ms"].get(figure)


def summarise(trials: list[dict[str, Any]], scenarios: dict[str, Scenario]) -> dict[str, Any]:
    """`{scenario: {"unit", "figure", "speed", "candidates": {name: …}, "figures": {figure: {"ratios": {name: …}, "noise_floor": …}}}}`."""
    summary: dict[str, Any] = {}
    for name, scenario in scenarios.items():
        here = [t for t in trials if t["scenario"] == name]
        if not here:
            continue
        here, adjustment = adjusted(here)
        figures = dict.fromkeys([scenario.figure, "cpu_us", "p99"])
        summary[name] = {
            "unit": scenario.unit,
            "figure": scenario.figure,
            "baseline": scenario.baseline,
            "speed": adjustment,
            "candidates": {n: describe([t for t in here if t["candidate"] == n and not t["twin"]]) for n in scenario.candidates},
            "figures": {f: compare_all(here, scenario, f) for f in figures},
        }
    return summary


def compare_all(trials: list[dict[str, Any]], scenario: Scenario, figure: str) -> dict[str, Any]:
    """The ratios of a figure, each candidate to its rival, with the noise floor and the interval of each one's own value."""
    base = by_round(trials, scenario.baseline, figure)
    twin = compare(base, by_round(trials, scenario.baseline, figure, twin=True))
    floor = spread_of_twin(twin)
    ratios = {
        name: {"against": c.against} | compare(by_round(trials, c.against, figure), by_round(trials, name, figure))
        for name, c in scenario.candidates.items()
        if c.against != name
    }
    correct_for_many(ratios)
    for ratio in ratios.values():
        ratio["verdict"] = verdict(ratio, floor)
    precision = {name: half_width(list(by_round(trials, name, figure).values())) for name in scenario.candidates}
    return {"ratios": ratios, "twin": twin if twin["each"] else None, "noise_floor": floor, "half_width": precision}


def spread_of_twin(twin: dict[str, Any]) -> float | None:
    """By what share equal things differ: the twin's ratio or half of its interval, whichever is more."""
    if not twin["ratio"]:
        return None
    half = (twin["high"] / twin["low"] - 1) / 2 if twin["low"] else 0.0
    return max(abs(twin["ratio"] - 1), half)


def by_round(trials: list[dict[str, Any]], candidate: str, figure: str, twin: bool = False) -> dict[int, float]:
    """A figure by round, valid trials only."""
    values = {t["round"]: figure_of(t, figure) for t in trials if t["valid"] and t["candidate"] == candidate and t["twin"] == twin}
    return {number: value for number, value in values.items() if value and value > 0}


def describe(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians with their spread over the valid trials of one candidate."""
    good = [t for t in trials if t["valid"]]
    result: dict[str, Any] = {"trials": len(trials), "valid": len(good)}
    if not good:
        return result | {"why": next((t["reasons"][0] for t in trials if t["reasons"]), "it was not measured")}

    def parts(key: str) -> dict[str, Any]:
        return {s: spread([t[key].get(s, 0.0) for t in good]) for s in sorted({s for t in good for s in t[key]})}

    def number(key: str) -> dict[str, Any] | None:
        return spread([t[key] for t in good]) if all(t.get(key) is not None for t in good) else None

    latency = {q: spread(v) for q in good[0]["latency_ms"] if None not in (v := [t["latency_ms"][q] for t in good])}
    return result | {
        "cpu_us": parts("cpu_us"),
        "kernel_cpu_us": parts("kernel_cpu_us"),
        "cpu_us_total": number("cpu_us_total"),
        "latency_ms": latency,
        "pooled_ms": percentiles_ms(merge([t["histogram"] for t in good]), (50, 95, 99, 99.9)),
        "histogram": encode(merge([t["histogram"] for t in good])),
        "rate": spread([t["units"] / t["seconds"] for t in good]),
        "errors": sum(t["errors"] for t in good),
        "servers_busy": spread([sum(t["cpu_busy"].values()) for t in good]),
        "bottleneck": max((t["bottleneck"] for t in good), key=lambda b: b["share"]),
        "memory_mib": number("memory_mib"),
        "memory_kib_per_unit": number("memory_kib_per_unit"),
        "kernel_memory_kib_per_unit": number("kernel_memory_kib_per_unit"),
        "bytes_per_unit": number("bytes_per_unit"),
        "switches_per_unit": number("switches_per_unit"),
        "kernel_busy": parts("kernel_busy"),
        "lost": sum(t["counters"].get("lost", 0) for t in good),
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
    low, high = interval(logs)
    return result | {"low": math.exp(low), "high": math.exp(high), "p": float(stats.ttest_1samp(logs, 0.0).pvalue)}


def interval(values: list[float]) -> tuple[float, float]:
    """The bootstrap interval of the mean: BCa, or the percentiles where that one is not defined."""
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # BCa says that it is undefined; the next one takes its place
            found = stats.bootstrap(
                (np.asarray(values),),
                np.mean,
                confidence_level=CONFIDENCE,
                n_resamples=RESAMPLES,
                method=method,
                rng=np.random.default_rng(BOOTSTRAP_SEED),
            ).confidence_interval
        if math.isfinite(found.low) and math.isfinite(found.high):
            break
    return float(found.low), float(found.high)


def half_width(values: list[float]) -> float | None:
    """Half of the interval of the geometric mean, as a share of it; None where nothing is judged."""
    if len(values) < FEWEST_ROUNDS or np.ptp(values) == 0:
        return None
    low, high = interval([math.log(v) for v in values])
    return (math.exp(high - low) - 1) / 2


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
    excludes_one = ratio["low"] > 1 or ratio["high"] < 1
    if not excludes_one or ratio["p_holm"] > SIGNIFICANCE or abs(ratio["ratio"] - 1) <= (noise_floor or 0.0):
        return "within noise"
    return "more" if ratio["ratio"] > 1 else "less"
