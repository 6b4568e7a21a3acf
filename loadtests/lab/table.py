"""The table at the end of a run."""

from typing import Any

HEAD = ["", "rate/s", "p50 ms", "p95 ms", "p99 ms", "errors", "CPU µs", "± %", "against", "by service (µs)"]


def render(result: dict[str, Any]) -> str:
    """All scenarios as text, one table each."""
    return "\n\n".join(render_scenario(result, name) for name in result["summary"])


def render_scenario(result: dict[str, Any], scenario: str) -> str:
    part = result["summary"][scenario]
    rows = [HEAD]
    for name, facts in part["topologies"].items():
        rows.append(row_of(name, facts, part, result["plan"]["baseline"]))
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD) - 1)]
    lines = [align(row, widths) for row in rows]
    floor = part["noise_floor"]
    note = f"   noise floor {floor:.1%}" if floor is not None else ""
    return f"{scenario}, per {part['unit']}{note}\n" + "\n".join(lines)


def align(row: list[str], widths: list[int]) -> str:
    """The first column to the left, the others to the right, the last as it is."""
    cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:], strict=True))]
    return "  ".join([*cells, row[-1]]).rstrip()


def row_of(name: str, facts: dict[str, Any], part: dict[str, Any], baseline: str) -> list[str]:
    if not facts["valid"]:
        return [name, *["-"] * (len(HEAD) - 2), "no valid trial"]
    rate = facts["messages_per_second" if part["unit"] == "delivery" else "requests_per_second"]
    total = facts["cpu_us_total"]
    services = sorted(facts["cpu_us"].items(), key=lambda item: -item[1]["median"])
    label = f"{name} ({facts['transport']})" if part["unit"] == "delivery" else name
    return [
        label,
        f"{rate['median']:,.0f}",
        *(f"{facts['latency_ms'][q]['median']:,.1f}" for q in ("p50", "p95", "p99")),
        str(facts["errors"]),
        f"{total['median']:,.0f}",
        f"{half_range(total):.0%}".rstrip("%"),
        "baseline" if name == baseline else against(part["ratios"][name]),
        " · ".join(f"{service} {value['median']:,.0f}" for service, value in services if value["median"] >= 0.5),
    ]


def half_range(value: dict[str, float]) -> float:
    """Half of the distance between the smallest and the largest trial, as a share of the median."""
    return (value["high"] - value["low"]) / 2 / value["median"]


def against(ratio: dict[str, Any]) -> str:
    if ratio["ratio"] is None:
        return "-"
    mark = {"less": "less", "more": "more", "within noise": "≈", "too few rounds": "?"}[ratio["verdict"]]
    return f"×{ratio['ratio']:.2f} {mark}"
