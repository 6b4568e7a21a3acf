"""Whom Prometheus asks, and what it calls an alert."""

import json
import re
import subprocess
import sys

import yaml

from cluster.paths import ROOT

RUNBOOKS = ROOT / "docs/runbooks"
HEADINGS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]


def rules(files):
    return [rule for group in yaml.safe_load(files["load"]["monitoring/alerts.yml"])["groups"] for rule in group["rules"]]


def test_every_host_and_every_daphne_is_asked(files):
    jobs = {job["job_name"]: job["static_configs"] for job in yaml.safe_load(files["load"]["monitoring/prometheus.yml"])["scrape_configs"]}
    targets = {name: {target for config in configs for target in config["targets"]} for name, configs in jobs.items()}
    assert targets["node"] == {f"198.18.250.{number}:9100" for number in (11, 21, 22, 31, 41)}
    assert targets["units"] == {f"198.18.250.{number}:9110" for number in (11, 21, 22, 31, 41)}
    assert targets["daphne"] == {f"198.18.250.{host}:{port}" for host in (21, 22) for port in (9201, 9202)}
    assert (targets["redis"], targets["postgresql"]) == ({"198.18.250.31:9121"}, {"198.18.250.31:9187"})
    labels = [config["labels"] for config in jobs["daphne"]]
    assert [label["instance"] for label in labels] == ["app1/1", "app1/2", "app2/1", "app2/2"]


def test_every_alert_has_a_runbook_that_names_it(files):
    assert len(rules(files)) >= 15
    for rule in rules(files):
        path = ROOT / rule["annotations"]["runbook"]
        assert f"`{rule['alert']}`" in path.read_text(), f"{path.name} does not name {rule['alert']}"


def test_every_runbook_has_its_four_headings_and_stands_in_the_list():
    listed = (RUNBOOKS / "README.md").read_text()
    for path in RUNBOOKS.glob("*.md"):
        if path.name == "README.md":
            continue
        assert [line for line in path.read_text().splitlines() if line.startswith("## ")] == HEADINGS, path.name
        assert f"({path.name})" in listed, path.name


def test_every_number_that_an_alert_or_the_dashboard_asks_for_is_told_by_somebody(files):
    """Ours are named in this repository; a distribution's exporter is known by its prefix."""
    sources = [
        *(ROOT / "monitoring/laurel_exporter").glob("*.py"),
        *(ROOT / "daphne/laurel_daphne").glob("*.py"),
        ROOT / "app/project/metrics.py",
    ]
    told = set(re.findall(r'"((?:laurel|daphne|feed)_\w+)"', "\n".join(path.read_text() for path in sources)))
    asked = " ".join(rule["expr"] for rule in rules(files)) + (ROOT / "monitoring/dashboard/panels.json").read_text()
    for name in set(re.findall(r"\b(?:laurel|daphne|feed)_\w+", asked)):
        assert name.removesuffix("_bucket") in told, name
    assert {name.split("_")[0] for name in re.findall(r"\b(\w+?_\w+)\{", asked)} <= {"laurel", "daphne", "feed", "node", "pg", "redis"}


def test_the_exporter_of_a_host_tells_what_the_host_has(files):
    command = {host: files[host]["monitoring/laurel-exporter.service"] for host in files}
    assert "--access-log /var/log/nginx/access.log" in command["edge"] and "--certificate /etc/laurel/tls/edge.crt" in command["edge"]
    assert "--uwsgi /run/uwsgi/stats.sock" in command["app1"] and "--access-log" not in command["app1"]
    assert "--backup-mark /var/backups/laurel.proved" in command["data"]
    assert "User=laurel-exporter\n" in command["edge"]


def test_without_a_host_that_watches_nobody_is_let_in_to_ask(files):
    text = (ROOT / "ansible/roles/common/templates/firewall.nft.j2").read_text()
    assert "(sources or flow.from == 'any')" in text


def test_grafanas_dashboard_is_made_of_the_same_panels():
    made = subprocess.run([sys.executable, ROOT / "monitoring/grafana.py"], capture_output=True, text=True, check=True).stdout
    assert (ROOT / "monitoring/grafana.json").read_text() == made, "python3 monitoring/grafana.py > monitoring/grafana.json"
    panels = json.loads(made)["panels"]
    assert len(panels) == len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) >= 10
    assert panels[0]["targets"][0]["legendFormat"] == "{{status}}"
