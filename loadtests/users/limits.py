"""What a load process can say by itself against its own numbers. The lab's gate asks more: it also sees the hosts."""

from typing import Any, NamedTuple

MAX_CPU_SHARE = 0.7
MAX_LATE_SHARE = 0.05
MAX_FILES_SHARE = MAX_PORTS_SHARE = 0.9


class Doubt(NamedTuple):
    """One check of a run: what was asked, what was seen, and whether it speaks against the run."""

    check: str
    seen: str
    is_broken: bool


def doubts(document: dict[str, Any]) -> list[Doubt]:
    """All checks of a document, whether it passed them or not (see `recorder` for its form)."""
    counters, generator, sockets = document["counters"], document["generator"], document["sockets"]
    series = document["series"].values()
    answers, wrong = sum(s["count"] for s in series), sum(s["failed"] for s in series)
    sent = counters.get("woken", 0) + counters.get("behind", 0)
    late = counters.get("late", 0) / sent if sent else 0.0
    broken = {name: counters.get(name, 0) for name in ("lost", "duplicates", "out_of_order")}
    files, ports = (generator[name] / generator[f"{name}_limit"] for name in ("open_files", "ports"))
    return [
        Doubt("every answer was right", f"{wrong} of {answers} wrong", wrong > 0),
        Doubt("every arrival was sent", f"{counters.get('dropped', 0)} dropped", counters.get("dropped", 0) > 0),
        Doubt("messages came once, in order", ", ".join(f"{n} {name}" for name, n in broken.items()), any(broken.values())),
        Doubt("every socket is open", f"{sockets['open']} of {sockets['expected']}", sockets["open"] != sockets["expected"]),
        Doubt(
            f"the generator uses at most {MAX_CPU_SHARE:.0%} of its CPU",
            f"{generator['cpu_share']:.0%}",
            generator["cpu_share"] > MAX_CPU_SHARE,
        ),
        Doubt(f"at most {MAX_LATE_SHARE:.0%} of the sends are late", f"{late:.1%}", late > MAX_LATE_SHARE),
        Doubt("it has open files left", f"{generator['open_files']} of {generator['open_files_limit']}", files > MAX_FILES_SHARE),
        Doubt("it has ports left", f"{generator['ports']} of {generator['ports_limit']}", ports > MAX_PORTS_SHARE),
    ]
