"""docs/results.md and its plots, made from a committed result; a test fails when they drift from it.

`docs/results/full.json` is the result without what only single trials are asked for; all else follows from it.
"""

import datetime
import json
from pathlib import Path
from typing import Any

from . import results
from .declaration import UNITS
from .errors import LabError
from .report import plots, words
from .speed import adjusted
from .table import MARKS, capacity_words, value_of
from .usage import in_words
from .world import ROOT

DOCS = ROOT / "docs"
DATA = DOCS / "results/full.json"
PLAN = "full"
DROPPED = ("histogram", "series_ms", "network_bytes", "error_kinds", "lateness_ms", "service_ms", "generator", "cpu_us_outside", "warnings")
"""Keys of trials that neither the page nor its plots need."""


def publish(source: Path | None) -> list[Path]:
    """Take a new result of the full plan, if one is named, and write the page and its plots. Returns what was written."""
    if source:
        result = results.read(source)
        if result["plan"]["name"] != PLAN or result["state"] != "complete":
            raise LabError(
                f"{source} is {result['state']} and of the plan {result['plan']['name']}; expected a complete one of "
                f"{PLAN}: make bench-full, or its RESUME=…"
            )
        DATA.parent.mkdir(parents=True, exist_ok=True)
        DATA.write_text(json.dumps(trimmed(result), separators=(",", ":")) + "\n", encoding="utf-8")
    written = [DATA] if source else []
    for name, text in pages(results.read(DATA)).items():
        path = DOCS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def trimmed(result: dict[str, Any]) -> dict[str, Any]:
    return result | {kind: [{k: v for k, v in t.items() if k not in DROPPED} for t in result[kind]] for kind in ("trials", "discarded")}


def pages(result: dict[str, Any]) -> dict[str, str]:
    """`{path below docs/: content}` of the page and its plots."""
    files = {}
    lines = [HEAD.format(began=datetime.datetime.fromtimestamp(result["started_unix"], datetime.UTC).strftime("%-d %B %Y"))]
    lines += ["", *(f"{sentence}  " for sentence in words.verdict(result)), "", *overview(result)]
    for name, part in result["summary"].items():
        drawn = scenario_plots(name, part, result)
        files |= {f"results/{name}-{kind}.svg": plots.standalone(svg) for kind, svg in drawn.items()}
        lines += ["", *scenario(name, part, result, drawn)]
    lines += ["", *provenance(result)]
    return {"results.md": "\n".join(lines) + "\n"} | files


HEAD = """# Results

<!-- Made by `python -m loadtests.lab docs` from results/full.json. Not to be edited: a test compares. -->

One run of `make bench-full`, {began}. How it was measured and what makes a row INVALID: [method.md](method.md). The numbers are
of one machine and one application; the ratios travel further than the numbers do."""


def overview(result: dict[str, Any]) -> list[str]:
    """Topologies x scenarios, as ratios to the baseline of each scenario."""
    columns, rows = words.overview(result)
    heads = [f"{c} ({words.SHORT[result['summary'][c]['figure']]})" for c in columns]
    return table(["topology", *heads], [[row["topology"], *(cell(c, row["topology"]) for c in row["cells"])] for row in rows])


def cell(found: dict[str, Any] | None, topology: str) -> str:
    if found is None:
        return "·"
    if not found["valid"]:
        return "INVALID"
    text = told(found["ratio"]) if found["ratio"] else "baseline"
    return text if found["name"] == topology else f"{text}, {found['name']}"


def told(ratio: dict[str, Any]) -> str:
    if ratio["ratio"] is None:
        return "-"
    interval = f" ({ratio['low']:.2f}–{ratio['high']:.2f})" if ratio["low"] is not None else ""
    return f"×{ratio['ratio']:.2f}{interval} {MARKS[ratio['verdict']]}"


def scenario_plots(name: str, part: dict[str, Any], result: dict[str, Any]) -> dict[str, str]:
    """The plots of a scenario by kind, those that there are."""
    declared = result["plan"]["scenarios"][name]
    drawn = {
        "delay-against-cost": plots.delay_against_cost(part) if name == "push" else "",
        "cpu": plots.cpu_bars(name, part, adjusted([t for t in result["trials"] if t["scenario"] == name])[0]),
        "latency": plots.latency_curves(name, part),
        "capacity": plots.capacity_curves(name, result["capacity"].get(name, {}), declared.get("objective")),
    }
    return {kind: svg for kind, svg in drawn.items() if svg}


def scenario(name: str, part: dict[str, Any], result: dict[str, Any], drawn: dict[str, str]) -> list[str]:
    """The section of a scenario: its question, the answer in words, the plots, the numbers."""
    figure, main = part["figures"]["cpu_us"], part["figure"]
    own = [] if main == "cpu_us" else [words.SHORT[main]]
    rate = f"{UNITS[part['unit']]}/s"
    head = ["candidate", rate, "p50 ms", "p99 ms", "CPU µs", "CPU ratio", *own, *(f"{o} ratio" for o in own), "bottleneck"]
    rows = []
    for candidate, facts in part["candidates"].items():
        if not facts["valid"]:
            rows.append([candidate, f"INVALID: {facts['why']}", *[""] * (len(head) - 2)])
            continue
        ratio = figure["ratios"].get(candidate)
        row = [candidate, f"{facts['rate']['median']:,.0f}", *(number(facts["latency_ms"].get(q)) for q in ("p50", "p99"))]
        row += [f"{facts['cpu_us_total']['median']:,.0f}", f"{told(ratio)} to {ratio['against']}" if ratio else "baseline"]
        if own:
            value, other = value_of(facts, main), part["figures"][main]["ratios"].get(candidate)
            row += ["" if value is None else f"{value:,.1f}", f"{told(other)} to {other['against']}" if other else "baseline"]
        rows.append([*row, in_words(facts["bottleneck"])])
    lines = [f"## {name.capitalize()}", "", result["plan"]["scenarios"][name]["question"], ""]
    lines += [f"- {sentence}" for sentence in words.answer(name, part, result)]
    if name == "isolation":
        lines += [f"- Isolation index of {n}: {told(r)}." for n, r in words.isolation_index(part)]
    lines += ["", *(f"![{name}: {kind.replace('-', ' ')}](results/{name}-{kind}.svg)\n" for kind in drawn)]
    lines += table(head, rows)
    if result["capacity"].get(name):
        lines += ["", *capacity(result["capacity"][name], part["unit"], result["plan"]["scenarios"][name]["capacity"]["vary"])]
    return lines


def capacity(found: dict[str, Any], unit: str, vary: str) -> list[str]:
    rows = []
    for name, search in found.items():
        law = search["usl"]
        fit = f"contention {law['contention']:.3f}, coherency {law['coherency']:.5f}, R² {law['r2']:.2f}" if law else "too few points"
        limit = in_words(search["bottleneck"]) if search["bottleneck"] else ""
        throughput = "" if search["throughput"] is None else f"{search['throughput']:,.0f}"
        rows.append([name, capacity_words(search), throughput, str(len(search["points"])), fit, limit])
    return table(["capacity of", f"holds, by {vary}", f"{UNITS[unit]}/s", "points", "Universal Scalability Law", "bottleneck"], rows)


def number(value: dict[str, float] | None) -> str:
    return "" if value is None else f"{value['median']:,.1f}"


def provenance(result: dict[str, Any]) -> list[str]:
    lines = []
    for head, trials in (("INVALID", result["trials"]), ("Refused, and taken again", result["discarded"])):
        found = [f"- {', '.join(ids)}: {reasons}" for reasons, ids in words.by_reason(trials)]
        lines += [f"## {head}", "", *(found or ["No trial."]), ""]
    return [*lines, "## Where it comes from", "", *table(["", ""], [[k, v] for k, v in words.provenance_rows(result)])]


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(c).replace("|", "\\|").replace("\n", " ") for c in line) + " |" for line in lines]
