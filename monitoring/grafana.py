"""The dashboard's panels for Grafana: `python3 monitoring/grafana.py > monitoring/grafana.json`. A test compares."""

import json
from pathlib import Path

PANELS = Path(__file__).parent / "dashboard/panels.json"
UNITS = {"number": "short", "seconds": "s", "bytes": "bytes"}
WIDTH, HEIGHT = 12, 8  # of Grafana's grid, which is 24 wide


def panel(number, about):
    """One time series: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/."""
    custom = {"stacking": {"mode": "normal"}, "fillOpacity": 60} if about.get("stack") else {}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": about["what"],
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"x": number % 2 * WIDTH, "y": number // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": UNITS[about["unit"]], "min": 0, "custom": custom}, "overrides": []},
        "targets": [
            {"refId": chr(65 + place), "expr": query, "legendFormat": legend(name)} for place, (query, name) in enumerate(about["ask"])
        ],
    }


def legend(name):
    """Words, of which the names of labels are theirs."""
    labels = ("status", "host", "service", "code")
    return " ".join(f"{{{{{word}}}}}" if word in labels else word for word in name.split())


def dashboard():
    panels = json.loads(PANELS.read_text())
    return {
        "title": "Laurel",
        "uid": "laurel",
        "schemaVersion": 37,
        "refresh": "30s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
        "panels": [panel(number, about) for number, about in enumerate(panels)],
    }


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=1))
