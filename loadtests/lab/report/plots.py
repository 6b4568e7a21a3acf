"""Plots as inline SVG. Text and rules take the page's colours, so one picture serves light and dark."""

import io
import re
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator

from loadtests.users.histograms import merge

INK, RULE = "#010203", "#040506"
"""Stand-ins, replaced by the page's own colours after drawing."""

COLOURS = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8a8a8a"]
"""Okabe and Ito's palette, told apart by colour-blind people as well."""

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "laurel",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
}
PERCENTILES = [10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.9]


def cpu_bars(scenario: str, part: dict[str, Any], trials: list[dict[str, Any]]) -> str:
    """CPU per unit by service as stacked bars, a dot for each trial's total. Empty without valid trials."""
    names = valid_names(part)
    if not names:
        return ""
    services = sorted({s for n in names for s in part["candidates"][n]["cpu_us"]}, key=place)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 0.9 + 0.5 * len(names)))
        left = [0.0] * len(names)
        for service in services:
            widths = [part["candidates"][n]["cpu_us"].get(service, {"median": 0.0})["median"] for n in names]
            if max(widths) < 0.5:
                continue
            axes.barh(names, widths, left=left, height=0.55, color=COLOUR_OF.get(service, COLOURS[-1]), label=service)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        for name in names:
            each = [t["cpu_us_total"] for t in trials if t["valid"] and t["candidate"] == name]
            axes.plot(each, [name] * len(each), "o", ms=4, mfc="none", mec=INK, mew=0.9)
        axes.invert_yaxis()
        axes.set_xlabel(f"µs of server CPU per {part['unit']}   (○ one trial)")
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=6, handlelength=1, columnspacing=1.2)
        return as_svg(figure, f"{scenario}: CPU per {part['unit']} by service")


def valid_names(part: dict[str, Any]) -> list[str]:
    return [name for name, facts in part["candidates"].items() if facts["valid"]]


ORDER = ["nginx", "uwsgi", "daphne", "redis", "postgresql", "mqtt", "mosquitto", "other"]
"""From the outside in, so that a service has the same colour and place in each plot."""
COLOUR_OF = dict(zip(ORDER, [*COLOURS[:6], "#f0e442", COLOURS[6]], strict=True))


def place(service: str) -> tuple[int, str]:
    return (ORDER.index(service) if service in ORDER else 2, service)


def latency_curves(scenario: str, part: dict[str, Any]) -> str:
    """Latency over percentile, all valid rounds of a candidate merged. Empty without latency."""
    measured = [n for n in valid_names(part) if part["candidates"][n]["pooled_ms"]["p50"] is not None]
    if not measured:
        return ""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 3.2))
        # The x axis is the share of slower answers on a logarithmic scale: each step to the right is rarer.
        positions = [(100 - q) / 100 for q in PERCENTILES]
        for index, name in enumerate(measured):
            total = merge([part["candidates"][name]["histogram"]])
            values = [max(total.get_value_at_percentile(q), 1) / 1e3 for q in PERCENTILES]
            axes.plot(positions, values, label=name, **line(index))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.invert_xaxis()
        axes.set_xticks([0.9, 0.5, 0.1, 0.05, 0.01, 0.001], ["p10", "p50", "p90", "p95", "p99", "p99.9"])
        axes.minorticks_off()
        plain(axes.yaxis)
        axes.set_ylabel("ms from the intended start")
        axes.grid(axis="both")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, handlelength=2.2)
        return as_svg(figure, f"{scenario}: latency by percentile")


def line(index: int) -> dict[str, Any]:
    """Colour and dashes of the index-th line: told apart without colour, too."""
    return {"color": COLOURS[index % len(COLOURS)], "ls": ("-", "--", ":", "-.")[index % 4], "lw": 2}


def plain(axis: Any) -> None:
    """Numbers such as 1, 2, 5, 10 on a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")


def capacity_curves(scenario: str, found: dict[str, dict[str, Any]], objective: dict[str, Any] | None) -> str:
    """Latency against throughput over the points of the capacity searches. Empty without points."""
    percentile = (objective or {}).get("percentile", "p99")
    drawn = {n: sorted(with_latency(f["points"], percentile)) for n, f in found.items()}
    if not any(drawn.values()):
        return ""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 3.2))
        for index, (name, points) in enumerate(drawn.items()):
            if points:
                axes.plot(*zip(*points, strict=True), label=name, marker="os^Dv"[index % 5], ms=5, **line(index))
        if objective:
            axes.axhline(objective["below_ms"], color=INK, lw=1, ls=(0, (4, 3)))
            axes.annotate(
                "objective", (0.995, objective["below_ms"]), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=9
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.minorticks_off()
        plain(axes.xaxis)
        plain(axes.yaxis)
        axes.set_xlabel("served per second")
        axes.set_ylabel(f"{percentile}, ms")
        axes.grid(axis="both")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, handlelength=2.2)
        return as_svg(figure, f"{scenario}: latency against throughput")


def with_latency(points: list[dict[str, Any]], percentile: str) -> list[tuple[float, float]]:
    return [(p["throughput"], p["latency_ms"][percentile]) for p in points if p.get("latency_ms") and p["latency_ms"][percentile]]


def delay_against_cost(part: dict[str, Any]) -> str:
    """Each candidate as a point: median delay to the right, CPU per delivery up; the bar reaches to p95."""
    names = valid_names(part)
    if len(names) < 2:
        return ""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 3.6))
        for index, name in enumerate(names):
            facts = part["candidates"][name]
            delay, late = facts["pooled_ms"]["p50"], facts["pooled_ms"]["p95"]
            cost = facts["cpu_us_total"]["median"]
            colour = COLOURS[index % len(COLOURS)]
            axes.plot([delay, late], [cost, cost], color=colour, lw=1.2)
            axes.plot([delay], [cost], "osD^vPX"[index % 7], color=colour, ms=8)
            axes.annotate(name, (delay, cost), xytext=(6, 6), textcoords="offset points", fontsize=10)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.minorticks_off()
        plain(axes.xaxis)
        plain(axes.yaxis)
        axes.margins(0.12, 0.18)
        axes.set_xlabel("delay, ms: median, line to p95")
        axes.set_ylabel(f"µs of server CPU per {part['unit']}")
        axes.grid(axis="both")
        return as_svg(figure, "Delay against cost of the transports")


def as_svg(figure: Any, title: str) -> str:
    """The figure as an `<svg>` element that scales with the page. The title must be the page's only one."""
    out = io.StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = svg.replace(INK, "currentColor").replace(RULE, "var(--rule)")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"|height="[\d.]+pt" width="[\d.]+pt"', "", svg, count=1)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    prefix = re.sub(r"\W+", "-", title.lower())
    svg = re.sub(r'id="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\1{prefix}-", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)


STANDALONE = (
    "<style>svg { color: #1c2126; --rule: #c9cdc8; font-family: system-ui, sans-serif } "
    "@media (prefers-color-scheme: dark) { svg { color: #e7e9ea; --rule: #4a5258 } }</style>"
)


def standalone(svg: str) -> str:
    """An `<svg>` element as a file of its own, with the colours that the page would have given it."""
    head, _, rest = svg.partition(">")
    return f"{head}>{STANDALONE}{rest}\n"
