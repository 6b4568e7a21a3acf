"""Two results side by side, a before and an after: what changed, and whether that is more than noise.

The trials of two runs share no rounds, so they are not paired: Welch's test and a bootstrap of the difference of mean logarithms.
"""

import math
import warnings
from typing import Any

import numpy as np
from scipy import stats

from .errors import LabError
from .speed import adjusted
from .statistics import BOOTSTRAP_SEED, CONFIDENCE, FEWEST_ROUNDS, RESAMPLES, correct_for_many, figure_of, verdict

SAME_LOAD = ("unit", "users", "options", "trial", "series", "locustfile")
"""Keys of a declaration that must agree."""
SAME_PLACE = {
    "machine": "another machine",
    "pinning": "other CPUs",
    "sizes": "other sizes of the servers",
    "load_code_sha256": "other load code",
}


def compare(a: dict[str, Any], b: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """`{scenario: {figure: {candidate: ratio b/a}}}` of what both have. Raises LabError where they can't be compared."""
    refuse_unlike(a, b)
    found: dict[str, dict[str, Any]] = {}
    for name in a["summary"].keys() & b["summary"].keys():
        refuse_other_load(name, a["plan"]["scenarios"][name], b["plan"]["scenarios"][name])
        figures = [f for f in a["summary"][name]["figures"] if f in b["summary"][name]["figures"]]
        found[name] = {figure: ratios(a, b, name, figure) for figure in figures}
    if not found:
        raise LabError(f"The two results share no scenario: {', '.join(a['summary'])} and {', '.join(b['summary'])}.")
    return {name: found[name] for name in a["summary"] if name in found}


def refuse_unlike(a: dict[str, Any], b: dict[str, Any]) -> None:
    if a["method"] != b["method"]:
        raise LabError(f"Method versions {a['method']} and {b['method']} can't be compared. Run the older one again with `make bench`.")
    for key, words in SAME_PLACE.items():
        first, second = a.get("provenance", {}).get(key), b.get("provenance", {}).get(key)
        if first != second:
            raise LabError(f"The results can't be compared: {words} ({key}: {first} and {second}). Run both again on the same ground.")


def refuse_other_load(name: str, a: dict[str, Any], b: dict[str, Any]) -> None:
    for key in SAME_LOAD:
        if a.get(key) != b.get(key):
            raise LabError(f"{name} can't be compared: its {key} was {a.get(key)} and is {b.get(key)}. Run both with the same declaration.")


def ratios(a: dict[str, Any], b: dict[str, Any], scenario: str, figure: str) -> dict[str, dict[str, Any]]:
    """Ratio after/before of each candidate that both have. The larger noise floor of the two holds."""
    floors = [r["summary"][scenario]["figures"][figure]["noise_floor"] for r in (a, b)]
    floor = max((f for f in floors if f is not None), default=None)
    names = [n for n in a["summary"][scenario]["candidates"] if n in b["summary"][scenario]["candidates"]]
    found = {n: unpaired(values(a, scenario, n, figure), values(b, scenario, n, figure)) for n in names}
    correct_for_many(found)
    for ratio in found.values():
        ratio["verdict"] = verdict(ratio, floor)
    return found


def values(result: dict[str, Any], scenario: str, candidate: str, figure: str) -> list[float]:
    """A figure of the valid trials, the twins among them: they are trials of the same thing."""
    trials, _ = adjusted([t for t in result["trials"] if t["scenario"] == scenario])
    return [v for t in trials if t["valid"] and t["candidate"] == candidate and (v := figure_of(t, figure))]


def unpaired(before: list[float], after: list[float]) -> dict[str, Any]:
    """Ratio of the geometric means, interval and p-value; None where there are too few trials."""
    result: dict[str, Any] = {"ratio": None, "low": None, "high": None, "p": None}
    if not before or not after:
        return result
    x, y = np.log(before), np.log(after)
    result["ratio"] = math.exp(float(y.mean() - x.mean()))
    if min(len(x), len(y)) < FEWEST_ROUNDS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return result
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interval = stats.bootstrap(
            (y, x),
            lambda p, q, axis=-1: np.mean(p, axis=axis) - np.mean(q, axis=axis),
            confidence_level=CONFIDENCE,
            n_resamples=RESAMPLES,
            method="percentile",
            vectorized=True,
            rng=np.random.default_rng(BOOTSTRAP_SEED),
        ).confidence_interval
    p = float(stats.ttest_ind(y, x, equal_var=False).pvalue)
    return result | {"low": math.exp(interval.low), "high": math.exp(interval.high), "p": p}


WORDS = {
    "less": "less than before",
    "more": "more than before",
    "within noise": "≈ within the noise floor",
    "too few rounds": "too few trials to judge",
}


def render(found: dict[str, dict[str, Any]], a: str, b: str) -> str:
    lines = [f"before: {a}", f"after:  {b}"]
    for scenario, figures in found.items():
        lines += ["", scenario]
        for figure, candidates in figures.items():
            for name, ratio in candidates.items():
                if ratio["ratio"] is None:
                    continue
                interval = f" [{ratio['low']:.3f}, {ratio['high']:.3f}]" if ratio["low"] is not None else ""
                lines.append(f"  {figure:<10} {name:<20} ×{ratio['ratio']:.3f}{interval}  {WORDS[ratio['verdict']]}")
    return "\n".join(lines)
