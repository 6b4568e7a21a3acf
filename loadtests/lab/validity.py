"""The gate: a trial that something other than the servers has shaped is INVALID, with the reasons."""

import math
from typing import Any

from .plan import Gate

CLOCKS_APART = 0.05
"""Share by which the window may differ between the load's clock and a host's."""
FEWEST_FOR_LITTLE = 50
"""Requests below which the ends of the window weigh too much for Little's law."""
UNTOLD = 0.1
"""Requests in flight by which Little's law may be missed whatever their share: a moment at the window's ends."""


def reasons_against(row: dict[str, Any], gate: Gate, max_error_share: float = 0.0) -> list[str]:
    """Why this trial must not be used; empty when it may. Each reason names what was seen and the limit."""
    if not row["measured"]:
        return [row["failure"]]
    return [*row["doubts"], *answers(row, max_error_share), *arrivals(row, gate), *generator(row, gate), *surroundings(row, gate)]


WRONG_COUNTERS = {
    "dropped": "arrivals dropped: too many requests were in flight",
    "duplicates": "messages came twice",
    "lost": "messages were lost",
    "out_of_order": "messages came out of order",
}


def answers(row: dict[str, Any], max_error_share: float) -> list[str]:
    """Answers that were wrong, messages that were not what was published, sockets that are gone."""
    reasons = []
    counters, sockets = row["counters"], row["sockets"]
    if row["errors"] / max(1, row["answers"]) > max_error_share:
        first = next(iter(row["error_kinds"]), "")
        reasons.append(f"{row['errors']} of {row['answers']} answers were wrong ({first})")
    reasons += [f"{counters[name]} {words}" for name, words in WRONG_COUNTERS.items() if counters.get(name)]
    lost = counters.get("deliveries_expected", 0) - counters.get("deliveries", 0)
    if lost and "deliveries_expected" in counters:
        reasons.append(f"{lost} deliveries lost" if lost > 0 else f"{-lost} deliveries too many")
    # Sockets that were cut on purpose are opened twice.
    opened = sockets["open"] if row["unit"] == "return" else sockets["opened"]
    if not sockets["open"] == opened == sockets["expected"]:
        reasons.append(f"{sockets['open']} sockets open at the end, {sockets['opened']} opened, {sockets['expected']} expected")
    return reasons


def arrivals(row: dict[str, Any], gate: Gate) -> list[str]:
    """What was offered must have been sent, and Little's law must hold: requests in flight = arrival rate x latency."""
    reasons = []
    apart, allowed = abs(row["sent"] - row["offered"]), gate.max_offered_sigma * math.sqrt(row["offered"])
    if apart > allowed:
        reasons.append(f"the generator sent {row['sent']}, {row['offered']:.0f} were offered: more than {allowed:.0f} apart")
    flight = row.get("in_flight")
    if flight and flight["requests"] >= FEWEST_FOR_LITTLE:
        apart = abs(flight["counted"] - flight["expected"])
        if apart > max(gate.max_little_apart * flight["expected"], UNTOLD):
            reasons.append(
                f"{flight['counted']:.2f} requests in flight, {flight['expected']:.2f} by Little's law: "
                f"more than {gate.max_little_apart:.0%} apart"
            )
    return reasons


def generator(row: dict[str, Any], gate: Gate) -> list[str]:
    """The load must not have been the limit."""
    reasons = []
    late = row["counters"].get("late", 0) / max(1, row["sent"])
    if late > gate.max_late_share:
        reasons.append(f"the generator was late for {late:.1%} of the requests, limit {gate.max_late_share:.1%}")
    share = row["generator"]["cpu_share"]
    if share > gate.max_generator_cpu:
        reasons.append(f"the generator used {share:.0%} of its CPUs, limit {gate.max_generator_cpu:.0%}")
    return reasons


def surroundings(row: dict[str, Any], gate: Gate) -> list[str]:
    """The clocks must agree, and the machine must have been as fast as it can."""
    reasons = []
    if abs(row["host_seconds"] / row["seconds"] - 1) > CLOCKS_APART:
        reasons.append(f"the window was {row['seconds']:.2f} s for the load, {row['host_seconds']:.2f} s for the hosts")
    drift = row.get("clock_drift", 0.0)
    if drift > gate.max_clock_drift:
        reasons.append(f"the machine's speed changed by {drift:.0%}, limit {gate.max_clock_drift:.0%}")
    slow = row.get("slowdown", 0.0)
    if slow > gate.max_slowdown:
        reasons.append(f"the servers' CPUs were {slow:.0%} slower than at their best, limit {gate.max_slowdown:.0%}")
    return reasons


def is_machines_fault(reasons: list[str]) -> bool:
    """Whether the machine's speed is all that speaks against a trial: the same load may hold at another moment."""
    return bool(reasons) and all(reason.startswith(("the machine's speed ", "the servers' CPUs ")) for reason in reasons)


def is_generators_fault(reasons: list[str]) -> bool:
    return any(reason.startswith("the generator ") for reason in reasons)
