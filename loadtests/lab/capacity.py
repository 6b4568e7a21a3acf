"""How much a candidate takes before the objective breaks: which rate to try next, and what the points say together.

A point that only the machine's speed speaks against is `spoiled`: it says nothing about its rate, and ends the search, which can be
taken up again. The search doubles the rate until a trial misses the objective, then halves the distance (on a logarithmic scale). It
is a pure function of the points so far, so that an unfinished search goes on where it was.
"""

import math
from typing import Any

import numpy as np
from scipy.optimize import curve_fit

from .declaration import Capacity, Objective

PRECISION = 1.15
"""The search ends when the lowest rate that failed is at most this many times the highest that held."""
MOST_POINTS = 12
FEWEST_FOR_FIT = 4
KEPT_UP = 0.95
"""Share of the offered units that must be served."""


def next_rate(points: list[dict[str, Any]], capacity: Capacity) -> float | None:
    """The next rate to try, or None when the search is over. Points have `rate` and `held`."""
    held, broke = bounds(points)
    if not points:
        return capacity.lowest
    if points[-1].get("spoiled"):
        return None
    if len(points) >= MOST_POINTS:
        return None
    if broke is None:
        return None if held >= capacity.highest else min(held * 2, capacity.highest)
    if held is None:
        return broke / 2 if broke > capacity.lowest / 8 else None
    return math.sqrt(held * broke) if broke / held > PRECISION else None


def bounds(points: list[dict[str, Any]]) -> tuple[float | None, float | None]:
    """The highest rate that held below the lowest that broke, and that one; None where there is none."""
    broke = min((p["rate"] for p in points if not p["held"] and not p.get("spoiled")), default=None)
    held = max((p["rate"] for p in points if p["held"] and (broke is None or p["rate"] < broke)), default=None)
    return held, broke


def judge(row: dict[str, Any], rate: float, objective: Objective, reasons: list[str], generator: bool) -> dict[str, Any]:
    """A trial of the search as a point: did it hold the objective, and if not, why."""
    point: dict[str, Any] = {"rate": rate, "held": False, "generator": generator, "why": ""}
    if not row["measured"]:
        return point | {"why": row["failure"]}
    latency = row["latency_ms"][objective.percentile]
    point |= {
        "throughput": row["units"] / row["seconds"],
        "latency_ms": row["latency_ms"],
        "mean_ms": row["mean_ms"],
        "bottleneck": row["bottleneck"],
        "cpu_us_total": row["cpu_us_total"],
    }
    if reasons:
        return point | {"why": reasons[0]}
    if latency is None or latency >= objective.below_ms:
        return point | {"why": f"{objective.percentile} was {latency or 0:,.0f} ms, limit {objective.below_ms:g} ms"}
    return point | {"held": True}


def conclude(points: list[dict[str, Any]], capacity: Capacity) -> dict[str, Any]:
    """What the points of one candidate say: `{"points", "rate", "at_least", "limit", "usl"}`; rate is None when none held."""
    held, broke = bounds(points)
    first = next((p for p in points if p["rate"] == broke), None)
    at_least = held is not None and (broke is None or bool(first and first["generator"]))
    best = next((p for p in points if p["rate"] == held and p["held"]), None)
    if points[-1].get("spoiled"):
        limit, at_least = f"the search ended early: {points[-1]['why']}", held is not None
    elif broke is None:
        limit = f"the search ends at {capacity.highest:g}"
    elif first["generator"]:
        limit = f"the generator: {first['why']}"
    else:
        limit = first["why"]
    return {
        "points": points,
        "rate": held,
        "throughput": best["throughput"] if best else None,
        "at_least": at_least,
        "limit": limit,
        "bottleneck": (first if first and "bottleneck" in first else best or {}).get("bottleneck"),
        "usl": fit_usl(points),
    }


def usl(concurrency: Any, alone: float, contention: float, coherency: float) -> Any:
    """Gunther's Universal Scalability Law: throughput at a concurrency. `alone` is the throughput of one."""
    return alone * concurrency / (1 + contention * (concurrency - 1) + coherency * concurrency * (concurrency - 1))


def fit_usl(points: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The law fitted to the points; concurrency is throughput x mean latency (Little). None where there are too few.

    `{"alone", "contention", "coherency", "r2", "peak_concurrency", "peak"}`; the peak is None where the curve has none.
    """
    good = [p for p in points if p.get("mean_ms") and p.get("throughput") and not p.get("spoiled")]
    x = np.array([p["throughput"] * p["mean_ms"] / 1e3 for p in good])
    y = np.array([p["throughput"] for p in good])
    if len(good) < FEWEST_FOR_FIT or np.ptp(x) == 0:
        return None
    try:
        found, _ = curve_fit(usl, x, y, p0=(y[0] / x[0], 0.1, 1e-4), bounds=([1e-9, 0, 0], [np.inf, np.inf, np.inf]), maxfev=20_000)
    except RuntimeError:  # no fit was found
        return None
    alone, contention, coherency = map(float, found)
    left = float(np.sum((y - usl(x, *found)) ** 2))
    peak = math.sqrt((1 - contention) / coherency) if coherency > 1e-9 and contention < 1 else None
    return {
        "alone": alone,
        "contention": contention,
        "coherency": coherency,
        "r2": 1 - left / float(np.sum((y - y.mean()) ** 2)),
        "peak_concurrency": peak,
        "peak": float(usl(peak, *found)) if peak else None,
    }
