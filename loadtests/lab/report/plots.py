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
    names = [name for name, facts in part["topologies"].items() if facts["valid"]]
    if not names:
        return ""
    services = sorted({s for n in names for s in part["topologies"][n]["cpu_us"]}, key=place)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 0.9 + 0.62 * len(names)))
        left = [0.0] * len(names)
        for colour, service in zip(COLOURS * 3, services, strict=False):
            widths = [part["topologies"][n]["cpu_us"].get(service, {"median": 0.0})["median"] for n in names]
            if max(widths) < 0.5:
                continue
            axes.barh(names, widths, left=left, height=0.55, color=colour, label=service)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        for name in names:
            each = [t["cpu_us_total"] for t in trials if t["valid"] and t["topology"] == name]
            axes.plot(each, [name] * len(each), "o", ms=4, mfc="none", mec=INK, mew=0.9)
        axes.invert_yaxis()
        axes.set_xlabel(f"µs of server CPU per {part['unit']}   (○ one trial)")
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=6, handlelength=1, columnspacing=1.2)
        return as_svg(figure, f"{scenario}: CPU per {part['unit']} by service")


def place(service: str) -> tuple[int, str]:
    """From the outside in, so that a service has the same colour and place in each plot."""
    order = ["nginx", "daphne", "uwsgi", "redis", "postgresql", "other"]
    return (order.index(service) if service in order else 2, service)


def latency_curves(scenario: str, trials: list[dict[str, Any]], topologies: list[str]) -> str:
    """Latency over percentile, all valid rounds of a topology merged. Empty without valid trials."""
    measured = {t["topology"] for t in trials if t["valid"]}
    if not measured:
        return ""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 3.2))
        # The x axis is the share of slower answers on a logarithmic scale: each step to the right is rarer.
        positions = [(100 - q) / 100 for q in PERCENTILES]
        for colour, name in zip(COLOURS * 3, topologies, strict=False):
            if name not in measured:
                continue
            total = merge([t["histogram"] for t in trials if t["valid"] and t["topology"] == name])
            values = [max(total.get_value_at_percentile(q), 1) / 1e3 for q in PERCENTILES]
            axes.plot(positions, values, color=colour, lw=2, label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.invert_xaxis()
        axes.set_xticks([0.9, 0.5, 0.1, 0.05, 0.01, 0.001], ["p10", "p50", "p90", "p95", "p99", "p99.9"])
        axes.minorticks_off()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_ylabel("ms from the intended start")
        axes.grid(axis="both")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=6, handlelength=1.4)
        return as_svg(figure, f"{scenario}: latency by percentile")


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
