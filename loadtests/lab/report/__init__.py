"""report.html: one file that opens offline and says by itself what was measured and how."""

import datetime
from pathlib import Path
from typing import Any

import jinja2

from ..declaration import FIGURES
from ..speed import adjusted
from ..table import against, capacity_words, value_of
from ..usage import in_words
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
    columns, rows = words.overview(result)
    return environment.get_template("template.html").render(
        result=result,
        verdict=words.verdict(result),
        columns=columns,
        rows=rows,
        scenarios=[scenario(name, part, result) for name, part in result["summary"].items()],
        invalid=words.by_reason(result["trials"]),
        invalid_count=sum(not t["valid"] for t in result["trials"]),
        discarded=words.by_reason(result["discarded"]),
        against=against,
        capacity_words=capacity_words,
        in_words=in_words,
        figure_names=FIGURES,
        short=words.SHORT,
        value_of=value_of,
        began=datetime.datetime.fromtimestamp(result["started_unix"], datetime.UTC).strftime("%-d %B %Y, %H:%M UTC"),
        provenance=words.provenance_rows(result),
    )


def scenario(name: str, part: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """What the template needs of one scenario."""
    declared = result["plan"]["scenarios"][name]
    return {
        "name": name,
        "part": part,
        "declared": declared,
        "answer": words.answer(name, part, result),
        "services": words.services_by_cost(part),
        "isolation": words.isolation_index(part) if name == "isolation" else [],
        "capacity": result.get("capacity", {}).get(name, {}),
        "plots": [
            (plot, caption)
            for plot, caption in (
                (plots.delay_against_cost(part) if name == "push" else "", DELAY_CAPTION),
                (plots.cpu_bars(name, part, adjusted([t for t in result["trials"] if t["scenario"] == name])[0]), CPU_CAPTION),
                (plots.latency_curves(name, part), LATENCY_CAPTION),
                (plots.capacity_curves(name, result.get("capacity", {}).get(name, {}), declared.get("objective")), CAPACITY_CAPTION),
            )
            if plot
        ],
    }


CPU_CAPTION = "Server CPU by hop, from the kernel's exact counters of each unit; medians over the rounds."
LATENCY_CAPTION = "Latency by percentile, all rounds together. It counts from the moment a request should have started."
CAPACITY_CAPTION = "Latency against throughput: every step of the capacity search. Above the dashed line the objective is missed."
DELAY_CAPTION = "Delay against cost: down and to the left is better."
