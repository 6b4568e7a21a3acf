"""The table at the end of a run."""

from typing import Any

from .speed import in_short
from .usage import in_words

HEAD = ["", "rate/s", "p50 ms", "p95 ms", "p99 ms", "errors", "CPU µs", "± %", "against", "bottleneck"]
MARKS = {"less": "less", "more": "more", "within noise": "≈", "too few rounds": "?"}


def render(result: dict[str, Any]) -> str:
    """All scenarios as text, one table each, then what was left out."""
    parts = [render_scenario(result, name) for name in result["summary"]]
    skipped = [f"left out: {len(s['trials'])} trials of {s['scenario']}: {s['why']}" for s in result.get("skipped", [])]
    return "\n\n".join([*parts, *(["\n".join(skipped)] if skipped else [])])


def render_scenario(result: dict[str, Any], scenario: str) -> str:
    part = result["summary"][scenario]
    rows = [HEAD] + [row_of(name, facts, part) for name, facts in part["candidates"].items()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD) - 1)]
    floor = part["figures"]["cpu_us"]["noise_floor"]
    head = [f"{scenario}, per {part['unit']}", "" if floor is None else f"noise floor of CPU {floor:.1%}", in_short(part["speed"])]
    lines = ["   ".join(filter(None, head))]
    lines += [align(row, widths) for row in rows]
    if part["figure"] != "cpu_us":
        lines += other_figure(part)
    for name, found in result.get("capacity", {}).get(scenario, {}).items():
        lines.append(f"  capacity of {name}: {capacity_words(found)}")
    return "\n".join(lines)


def align(row: list[str], widths: list[int]) -> str:
    """The first column to the left, the others to the right, the last as it is."""
    cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:], strict=True))]
    return "  ".join([*cells, row[-1]]).rstrip()


def row_of(name: str, facts: dict[str, Any], part: dict[str, Any]) -> list[str]:
    if not facts["valid"]:
        return [name, *["-"] * (len(HEAD) - 2), f"INVALID: {facts['why']}"]
    figure = part["figures"]["cpu_us"]
    width = figure["half_width"].get(name)
    return [
        name,
        f"{facts['rate']['median']:,.0f}",
        *(ms(facts["latency_ms"].get(q)) for q in ("p50", "p95", "p99")),
        str(facts["errors"]),
        f"{facts['cpu_us_total']['median']:,.0f}",
        "-" if width is None else f"{width:.1%}".rstrip("%"),
        "baseline" if name == part["baseline"] else against(figure["ratios"][name]),
        in_words(facts["bottleneck"]),
    ]


def other_figure(part: dict[str, Any]) -> list[str]:
    """Lines of the scenario's own figure where that is not CPU."""
    figure = part["figure"]
    lines = []
    for name, facts in part["candidates"].items():
        value = value_of(facts, figure)
        if value is None:
            continue
        ratio = part["figures"][figure]["ratios"].get(name)
        told = "baseline" if ratio is None else f"{against(ratio)} (to {ratio['against']})"
        lines.append(f"  {figure} {name}: {value:,.1f}  {told}")
    return lines


def value_of(facts: dict[str, Any], figure: str) -> float | None:
    """The median of a figure of a candidate that has valid trials."""
    if not facts["valid"]:
        return None
    found = {"cpu_us": facts["cpu_us_total"], "memory_kib": facts["memory_kib_per_unit"]}.get(figure, facts["latency_ms"].get(figure))
    return found["median"] if found else None


def capacity_words(found: dict[str, Any]) -> str:
    if found["rate"] is None and found["points"][-1].get("spoiled"):
        return f"not found ({found['limit']})"
    if found["rate"] is None:
        return f"below {min(p['rate'] for p in found['points']):,.0f}/s ({found['limit']})"
    return f"{'at least ' if found['at_least'] else ''}{found['rate']:,.0f}/s ({found['limit']})"


def ms(value: dict[str, float] | None) -> str:
    return "-" if value is None else f"{value['median']:,.1f}"


def against(ratio: dict[str, Any]) -> str:
    if ratio["ratio"] is None:
        return "-"
    return f"×{ratio['ratio']:.2f} {MARKS[ratio['verdict']]}"
