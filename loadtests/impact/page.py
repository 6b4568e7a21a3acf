"""docs/impact.md, made from a committed result; a test fails where it drifts from it."""

import datetime
import json
from pathlib import Path
from typing import Any

from loadtests.lab.docs import table
from loadtests.lab.errors import LabError
from loadtests.lab.world import ROOT

from .run import FORMAT, told

DOCS = ROOT / "docs"
DATA = DOCS / "results/impact.json"
HEAD = """# Impact

<!-- Made by `python -m loadtests.impact docs` from results/impact.json. Not to be edited: a test compares. -->

What people felt while something was done to the cluster, or went wrong with it: {rounds}, {began}, topology {topology},
`make impact PAGES={pages:g} SOCKETS={sockets} MESSAGES={messages:g} STREAMS={streams} POLLERS={pollers}`. Connected throughout: {pages:g}
pages a second on a schedule that does not wait for answers, {sockets} WebSockets in rooms of six that publish {messages:g} messages
a second together, {streams} readers of Server-Sent Events, {pollers} long pollers. Every message is numbered, so that each reader
knows what it lost. The numbers are of one machine of {cpus} CPUs that runs all hosts and the people; the counts travel further than
the seconds."""
LEGEND = """- **failed**: pages answered with anything but 200, or not at all; **slowest**: of all pages, from its intended start.
- **closed**: ends of sockets, by close code. 1012: "the server is being replaced, come back"; 1006: cut without a word.
- **streams**: the same of streams, by their last event; an answer that just ends counts as 1006, and its reader comes back after its
  last id all the same.
- **back**: from its end until a reader was subscribed again, after its last message; half of them, 99 %, all.
- **lost**, **late**: messages that were acknowledged and never came to a reader; deliveries that came more than a second after they
  were sent.
- **refused**: attempts to come back, and long polls, that were told to try again or found nobody yet."""
CAME = """Clients that came for one operation alone, beside those who are connected throughout. Those who are cut are back when they have
the message that was said meanwhile; those who do not read are closed when their connection is reset."""


def publish(source: Path | None) -> list[Path]:
    """Take a new result, if one is named, and write the page. Returns what was written."""
    if source:
        result = read(source / "impact.json" if source.is_dir() else source)
        if result["state"] != "complete":
            raise LabError(f"{source} is {result['state']}; expected a complete run: make impact")
        DATA.parent.mkdir(parents=True, exist_ok=True)
        DATA.write_text(json.dumps(result, indent=1) + "\n")
    page = DOCS / "impact.md"
    page.write_text(text(read(DATA)))
    return [DATA, page] if source else [page]


def read(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise LabError(f"{path} is no result of `make impact`: {error}") from error
    if result.get("format") != FORMAT:
        raise LabError(f"{path} has format {result.get('format')}, expected {FORMAT}; measure again: make impact")
    return result


def text(result: dict[str, Any]) -> str:
    began = datetime.datetime.fromtimestamp(result["started_unix"], datetime.UTC).strftime("%-d %B %Y")
    rounds = "one run" if result["rounds"] == 1 else f"{result['rounds']} rounds in a row"
    broken = [row for row in result["rows"] if row["broken"]]
    verdict = f"{len(result['rows']) - len(broken)} of {len(result['rows'])} promises were kept."
    lines = [HEAD.format(rounds=rounds, began=began, topology=result["topology"], cpus=result["cpus"], **result["amounts"]), "", verdict]
    lines += [f"- {row['operation']}, round {row['round']}: {'; '.join(row['broken'])}" for row in broken]
    lines += ["", LEGEND, ""]
    head = [
        "operation or fault",
        "promise",
        "failed",
        "slowest",
        "closed",
        "streams",
        "back 50/99/100 %",
        "lost",
        "late",
        "refused",
        "kept",
    ]
    lines += table(head, [cells(rows) for rows in by_operation(result["rows"])])
    if came := [row for row in result["rows"] if "clients" in row["felt"]]:
        lines += ["", CAME, ""]
        lines += [f"- {row['what']}, round {row['round']}: {told(row['felt']['clients'])}" for row in came]
    if result["left_out"]:
        lines += ["", f"Left out, because the hosts are no containers: {', '.join(result['left_out'])}."]
    versions = sorted({version for host in result["versions"].values() for version in host.split(" · ") if version})
    lines += ["", f"Commit {result['git_commit'][:12]}. {', '.join(versions)}".rstrip(" .") + "."]
    return "\n".join(lines) + "\n"


def by_operation(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The rows of each operation, over all rounds."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["operation"], []).append(row)
    return list(found.values())


def cells(rows: list[dict[str, Any]]) -> list[str]:
    """One line: the worst of all rounds."""
    felt = [row["felt"] for row in rows]
    failures = counts([one["failures"] for one in felt])
    backs = [one["back_s"] for one in felt if one["back_s"]]
    back = " / ".join(f"{max(b[q] for b in backs):.1f}" for q in ("50", "99", "100")) + " s" if backs else ""
    kept = sum(not row["broken"] for row in rows)
    failed = str(max(one["failed"] for one in felt))
    return [
        rows[0]["what"],
        rows[0]["promised"],
        f"{failed} ({failures})" if failures else failed,
        f"{max(one['slowest_s'] for one in felt):.2f} s",
        counts([one["closed"] for one in felt]),
        counts([one["ended"] for one in felt]),
        back,
        str(max(one["lost"] for one in felt)),
        str(max(one["late"] for one in felt)),
        counts([one["refused"] for one in felt]),
        "yes" if kept == len(rows) else f"{kept} of {len(rows)}",
    ]


def counts(rounds: list[dict[str, int]]) -> str:
    """The most of each that a round saw."""
    names = dict.fromkeys(name for one in rounds for name in one)
    return ", ".join(f"{max(one.get(name, 0) for one in rounds)} × {name}" for name in names)
