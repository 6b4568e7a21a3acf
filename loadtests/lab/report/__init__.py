"""report.html: one file that opens offline and says by itself what was measured and how."""

import datetime
from pathlib import Path
from typing import Any

import jinja2

from ..table import against, half_range
from . import plots, words

HERE = Path(__file__).parent


def write_report(folder: Path, result: dict[str, Any]) -> Path:
    """Write `folder/report.html` and return its path."""
    path = folder / "report.html"
    path.write_text(render(result), encoding="utf-8")
    return path


def render(result: dict[str, Any]) -> str:
    """The report as HTML. `result` is what `results.read` gives."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"thousands": "{:,.0f}".format, "ms": "{:,.1f}".format, "percent": "{:.1%}".format}
    scenarios = [
        {
            "name": name,
            "part": part,
            "verdict": words.verdict(name, part, result["plan"]["baseline"]),
            "services": words.services_by_cost(part),
            "cpu_plot": plots.cpu_bars(name, part, [t for t in result["trials"] if t["scenario"] == name]),
            "latency_plot": plots.latency_curves(name, [t for t in result["trials"] if t["scenario"] == name], list(result["topologies"])),
            "rate_key": "messages_per_second" if part["unit"] == "delivery" else "requests_per_second",
        }
        for name, part in result["summary"].items()
    ]
    return environment.get_template("template.html").render(
        result=result,
        scenarios=scenarios,
        invalid=[t for t in result["trials"] if not t["valid"]],
        against=against,
        half_range=half_range,
        began=datetime.datetime.fromtimestamp(result["started_unix"], datetime.UTC).strftime("%-d %B %Y, %H:%M UTC"),
        provenance=words.provenance_rows(result),
        baseline=result["plan"]["baseline"],
    )
