"""What the people felt in a window of time, and whether that keeps a promise."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

SERVICE_RESTART = 1012
LATE_SECONDS = 1.0
OUTCOMES = ("back", "closed")  # what is promised to clients that came for one operation


@dataclass
class Felt:
    """Counts of one window. Seconds are of the monotonic clock of the process that felt them."""

    pages: int = 0
    failed: list[tuple[str, float]] = field(default_factory=list)  # (status or error, seconds since the window began)
    slowest: float = 0.0  # seconds from the intended start of a page to its answer
    closed: Counter = field(default_factory=Counter)  # close code of a WebSocket -> how often
    ended: Counter = field(default_factory=Counter)  # the same of streams, by their last event; 1006: without one
    refused: Counter = field(default_factory=Counter)  # attempts to come back that found no place yet -> how often
    away: list[float] = field(default_factory=list)  # seconds from a reader's end to its next `subscribed`
    published: int = 0
    delivered: int = 0
    lost: int = 0  # acknowledged, and not come to a reader that should have it
    duplicated: int = 0
    unrecovered: int = 0
    late: int = 0  # came more than a second after they were sent
    slowest_delivery: float = 0.0
    unavailable: int = 0  # publishes that were answered with "the database does not answer", and sent again

    def facts(self) -> dict[str, Any]:
        """As plain data, for the result file."""
        return {
            "pages": self.pages,
            "failed": len(self.failed),
            "failures": dict(Counter(why for why, _ in self.failed)),
            "failing_seconds": round(max(at for _, at in self.failed) - min(at for _, at in self.failed), 2) if self.failed else 0.0,
            "slowest_s": round(self.slowest, 3),
            "closed": {str(code): count for code, count in sorted(self.closed.items(), key=str)},
            "ended": {str(code): count for code, count in sorted(self.ended.items(), key=str)},
            "refused": {str(why): count for why, count in sorted(self.refused.items(), key=str)},
            "back_s": {str(q): round(percentile(self.away, q), 2) for q in (50, 99, 100)} if self.away else {},
            "published": self.published,
            "delivered": self.delivered,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "unrecovered": self.unrecovered,
            "late": self.late,
            "slowest_delivery_s": round(self.slowest_delivery, 2),
            "unavailable": self.unavailable,
        }


def percentile(values: list[float], percent: float) -> float:
    """The smallest value that so many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100).__int__() - 1)]


def broken(promise: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """How the facts of a window break a promise; nothing where they keep it.

    A promise may hold: failed (most failed pages), failing_seconds (they lie within so many), statuses (they are these alone), page_seconds
    (the slowest page), closed (codes that may be seen; absent: any), closed_least (fewer closes, and it did not happen), back_seconds,
    late (most late deliveries; absent: any); of the clients that came for the operation alone, clients_back_seconds and
    clients_closed_seconds: all of them are back, or closed, within so many.
    That nothing is lost, doubled or unrecovered is part of each.
    """
    found = [f"{facts[name]} {name}" for name in ("lost", "duplicated", "unrecovered") if facts[name]]
    if not facts["pages"] or not facts["delivered"]:
        found.append("nobody was there to feel it")
    if facts["failed"] > promise.get("failed", 0):
        found.append(f"{facts['failed']} failed requests ({words(facts['failures'])}), promised: at most {promise.get('failed', 0)}")
    if foreign := sorted(set(facts["failures"]) - {str(status) for status in promise.get("statuses", facts["failures"])}):
        found.append(f"requests failed with {', '.join(foreign)}, promised: only {', '.join(map(str, promise['statuses']))}")
    seconds = {"failing": facts["failing_seconds"], "page": facts["slowest_s"], "back": facts["back_s"].get("100", 0.0)}
    for name, seen in ((f"{what}_seconds", value) for what, value in seconds.items()):
        if name in promise and seen > promise[name]:
            found.append(f"{name.removesuffix('_seconds')} for {seen} s, promised: at most {promise[name]} s")
    allowed = {str(code) for code in promise["closed"]} if "closed" in promise else set(facts["closed"])
    if foreign := {code: count for code, count in facts["closed"].items() if code not in allowed}:
        found.append(f"closed with {words(foreign)}, promised: {', '.join(sorted(allowed)) or 'no close'}")
    if (count := sum(facts["closed"].values())) < promise.get("closed_least", 0):
        found.append(f"{count} sockets were closed, expected at least {promise['closed_least']}: it did not happen")
    if "late" in promise and facts["late"] > promise["late"]:
        found.append(f"{facts['late']} deliveries came late, promised: at most {promise['late']}")
    for outcome in OUTCOMES:
        if (rule := f"clients_{outcome}_seconds") in promise:
            found += broken_by_clients(outcome, promise[rule], facts.get("clients") or {})
    return found


def broken_by_clients(outcome: str, seconds: float, clients: dict[str, Any]) -> list[str]:
    """The same of those who came for the operation alone: `outcome` (back, closed) is promised to all of them, within so many seconds."""
    if not clients.get("reached"):
        return ["no client was there for it"]
    found, count = [], clients["count"]
    if clients["reached"] < count:
        found.append(f"only {clients['reached']} of {count} clients were there for it")
    if clients[outcome] < count:
        found.append(f"{clients[outcome]} of {count} clients were {outcome}, promised: all")
    if (slowest := clients[f"{outcome}_s"].get("100", 0.0)) > seconds:
        found.append(f"a client was {outcome} after {slowest} s, promised: at most {seconds} s")
    if clients.get("missing"):
        found.append(f"{clients['missing']} messages missing at the clients")
    return found


def words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in counts.items())
