"""The gate: a trial that something other than the servers has shaped is INVALID, with the reasons."""

import math
from typing import Any

from .plan import Gate

CLOCKS_APART = 0.05
"""Share by which the window may differ between the load's clock and a host's."""


def reasons_against(row: dict[str, Any], gate: Gate) -> list[str]:
    """Why this trial must not be used; empty when it may. Each reason names what was seen and the limit."""
    if not row["measured"]:
        return [row["failure"]]
    counters, generator, sockets = row["counters"], row["generator"], row["sockets"]
    reasons = list(row["doubts"])

    share = row["errors"] / max(1, row["answers"])
    if share > gate.max_error_share:
        first = next(iter(row["error_kinds"]), "")
        reasons.append(f"{row['errors']} of {row['answers']} answers were wrong ({first})")

    for name, words in WRONG_COUNTERS.items():
        if counters.get(name):
            reasons.append(f"{counters[name]} {words}")
    lost = counters.get("deliveries_expected", 0) - counters.get("deliveries", 0)
    if lost:
        reasons.append(f"{lost} deliveries lost" if lost > 0 else f"{-lost} deliveries too many")

    apart = abs(row["sent"] - row["offered"])
    allowed = gate.max_offered_sigma * math.sqrt(row["offered"])
    if apart > allowed:
        reasons.append(f"{row['sent']} sent, {row['offered']:.0f} offered: more than {allowed:.0f} apart")

    late = counters.get("late", 0) / max(1, row["sent"])
    if late > gate.max_late_share:
        reasons.append(f"the generator was late for {late:.1%} of the requests, limit {gate.max_late_share:.1%}")
    if generator["cpu_share"] > gate.max_generator_cpu:
        reasons.append(f"the generator used {generator['cpu_share']:.0%} of its CPU, limit {gate.max_generator_cpu:.0%}")

    if sockets["open"] != sockets["expected"]:
        reasons.append(f"{sockets['open']} sockets open at the end, {sockets['expected']} expected")

    if abs(row["host_seconds"] / row["seconds"] - 1) > CLOCKS_APART:
        reasons.append(f"the window was {row['seconds']:.2f} s for the load, {row['host_seconds']:.2f} s for the hosts")

    drift = row.get("clock_drift", 0.0)
    if drift > gate.max_clock_drift:
        reasons.append(f"the machine calculated {drift:.0%} slower than at its best, limit {gate.max_clock_drift:.0%}")
    return reasons


WRONG_COUNTERS = {
    "dropped": "arrivals dropped: too many requests were in flight",
    "duplicates": "messages came twice",
    "lost": "messages were lost",
    "out_of_order": "messages came out of order",
}
