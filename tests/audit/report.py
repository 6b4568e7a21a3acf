"""docs/security.json holds what was measured, docs/security.md shows it."""

import json
from pathlib import Path

import yaml

from cluster.paths import ROOT
from flows import table

from . import cves
from .scores import EXCEPTIONS, JUDGES

RESULTS, PAGE = ROOT / "docs/security.json", ROOT / "docs/security.md"
HEAD = """# Security, as others judge it

Made by `make audit` from [security.json](security.json) and [scores.yml](../tests/audit/scores.yml): do not edit. A judge
is a tool that others wrote, or a suite of ours that sends what an attacker would; what it may find is data, and `make audit`
ends with a code that is not 0 where a score is missed.
"""


def load() -> dict:
    return json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}


def keep(results: dict, page: Path = PAGE, data: Path = RESULTS) -> None:
    """Write both files, whole or not at all."""
    for path, text in ((data, json.dumps(results, indent=1, sort_keys=True) + "\n"), (page, render(results))):
        partial = path.with_suffix(".partial")
        partial.write_text(text)
        partial.replace(path)


def limit(score: dict) -> str:
    return f"at most {score['at_most']:g}" if score["at_most"] is not None else f"at least {score['at_least']:g}"


def render(results: dict) -> str:
    lines = [HEAD, "| judge | of | score | may be | verdict | measured |", "|---|---|---|---|---|---|"]
    for judge, about in JUDGES.items():
        if judge not in results:
            lines.append(f"| {judge} | {about['about']} | not measured yet | | | |")
            continue
        entry = results[judge]
        for score in entry["scores"]:
            verdict = "passed" if score["passed"] else "**missed**"
            excused = f", {score['excused']} excused" if score["excused"] else ""
            value = f"{score['value']:g} {about['unit'] if score['judge'] == judge else ''}".strip()
            lines.append(f"| {judge} | {score['subject']} | {value}{excused} | {limit(score)} | {verdict} | {entry['date']} |")
    lines += ["", "What each one judges:", ""]
    lines += [
        f"- {judge}: {about['about']}" + (" (on the deployed cluster)" if about.get("needs") else "") for judge, about in JUDGES.items()
    ]
    missed = [(judge, score) for judge, entry in results.items() for score in entry["scores"] if not score["passed"]]
    if missed:
        lines += ["", "## Missed", ""]
        lines += [f"- {judge}, {score['subject']}: {'; '.join(score['findings'][:10]) or limit(score)}" for judge, score in missed]
    lines += ["", "## What is not counted, and why", "", "| judges | finding | where | reason |", "|---|---|---|---|"]
    for exception in EXCEPTIONS:
        cells = (f"`{exception[name]}`".replace("|", "\\|") for name in ("finding", "where"))
        lines.append(f"| {', '.join(exception['judges'])} | {' | '.join(cells)} | {exception['reason']} |")
    lines += [
        "",
        "## Open flows",
        "",
        "Everything else is dropped (`test_41_flows.py` of the cluster tests probes it). Groups of the inventory; the usual ports.",
        "",
    ]
    lines += table()
    packages = yaml.safe_load((ROOT / "ansible/group_vars/all/packages.yml").read_text())
    lines += [
        "",
        "## Updates",
        "",
        "Hosts take Debian's security updates once a day by themselves, unless an inventory says",
        "`unattended_security_updates: false`. Nothing reboots, and what serves people is left out",
        f"({', '.join(packages['service_packages'])}), because a new version restarts it: `make upgrade-os` brings",
        "those, host by host ([os-upgrade](runbooks/os-upgrade.md)). Python's packages are locked, and come with a release.",
    ]
    lines += [
        "",
        "## Known vulnerabilities, and what answers them",
        "",
        "From [cves.yml](../tests/audit/cves.yml), which says where it knows them from. The tests assert the versions of the locks, and",
        "the settings.",
        "",
    ]
    lines += cves.table()
    return "\n".join(lines) + "\n"
