"""Tabs of Locust's own web UI: what a push took, what the hosts' services use, and whether the run can be believed.

Locust's page asks for `/stats/requests` every two seconds while a test runs; the rows of the tabs ride along. The CPU of the
hosts comes from outside, since a load host reads no other host: `python -m loadtests.lab.live` brings it to `/laurel/cpu`.
"""

import json
import time
from typing import Any

from flask import Response, request
from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner

from . import histograms, window
from .limits import doubts

PUSHED = ("delivery", "publish", "back")
STALE_SECONDS = 10.0
NO_CPU = "no data: run `python -m loadtests.lab.live` on the controller"

TABS = {
    "push-delay": (
        "Push delay",
        {"name": "What", "count": "Count", "p50": "50 % (ms)", "p95": "95 % (ms)", "p99": "99 % (ms)", "max": "Max (ms)"},
    ),
    "service-cpu": ("CPU of the hosts", {"service": "Service", "host": "Host", "cpu": "CPUs in use"}),
    "validity": ("Validity", {"check": "Check", "seen": "Seen", "verdict": "Verdict"}),
}

_cpu: dict[str, Any] = {"at": float("-inf"), "rows": []}


def delay_rows(document: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Delays of what was pushed in the window so far, and of what was asked beside it."""
    rows = []
    for name, series in sorted((document or {"series": {}})["series"].items(), key=lambda item: item[0] not in PUSHED):
        if name in PUSHED:
            delays = histograms.percentiles_ms(histograms.merge([series["latency"]]))
            rows.append({"name": name, "count": series["count"], **{k: "" if v is None else f"{v:.1f}" for k, v in delays.items()}})
    return rows or [{"name": "nothing was pushed in the window yet", "count": 0}]


def cpu_rows(now: float) -> list[dict[str, Any]]:
    if now - _cpu["at"] > STALE_SECONDS:
        return [{"service": NO_CPU}]
    return _cpu["rows"] or [{"service": "every service is idle"}]


def validity_rows(document: dict[str, Any] | None) -> list[dict[str, Any]]:
    if document is None:
        return [{"check": "the measured window is not open yet"}]
    return [{"check": d.check, "seen": d.seen, "verdict": "INVALID" if d.is_broken else "ok"} for d in doubts(document)]


def all_rows(environment: Environment) -> list[dict[str, Any]]:
    document = window.present_document(environment)
    rows = (delay_rows(document), cpu_rows(time.monotonic()), validity_rows(document))
    return [{"key": key, "data": data} for key, data in zip(TABS, rows, strict=True)]


def take_cpu(sent: Any, now: float) -> str:
    """Keep what the controller read; the error text, or nothing."""
    try:
        rows = [
            {"service": str(r["service"])[:40], "host": str(r["host"])[:40], "cpu": f"{float(r['cpu']):.2f}"} for r in sent["rows"][:200]
        ]
    except (TypeError, KeyError, ValueError):
        return 'expected {"rows": [{"service": name, "host": name, "cpu": number}, …]}'
    _cpu.update(at=now, rows=rows)
    return ""


@events.init.add_listener
def extend(environment: Environment, **_: Any) -> None:
    if not environment.web_ui or isinstance(environment.runner, WorkerRunner):
        return
    ui = environment.web_ui
    ui.template_args["extended_tabs"] = [{"key": key, "title": title} for key, (title, _) in TABS.items()]
    ui.template_args["extended_tables"] = [
        {"key": key, "structure": [{"key": name, "title": words} for name, words in columns.items()]} for key, (_, columns) in TABS.items()
    ]

    @ui.app.after_request
    def add_rows(response: Response) -> Response:
        if request.path.endswith("/stats/requests") and response.is_json and response.status_code == 200:
            response.set_data(json.dumps({**response.get_json(), "extended_stats": all_rows(environment)}))
        return response

    @ui.app.route("/laurel/cpu", methods=["POST"])
    @ui.auth_required_if_enabled
    def cpu() -> Response:
        error = take_cpu(request.get_json(silent=True), time.monotonic())
        return Response(error, status=400 if error else 204, content_type="text/plain; charset=utf-8")
