"""Known vulnerabilities (cves.yml), and the versions that answer them."""

import re
from pathlib import Path

import yaml

from cluster.paths import ROOT

DATA = yaml.safe_load(Path(__file__).with_name("cves.yml").read_text())
PACKAGES, KNOWN = DATA["packages"], DATA["known"]


def locked(package: str) -> str | None:
    """The version that a package's lock pins, or None for one of Debian."""
    lock = PACKAGES[package].get("lock")
    if lock is None:
        return None
    return re.search(rf"^{re.escape(package)}==(\S+)", (ROOT / lock).read_text(), re.MULTILINE)[1]


def table() -> list[str]:
    """The lines of a table for the docs."""
    lines = ["| vulnerability | in | what | fixed in | here | what answers it besides |", "|---|---|---|---|---|---|"]
    for entry in KNOWN:
        package = entry["in"]
        here = f"{locked(package)}, locked" if locked(package) else "Debian's, of the day it was installed"
        lines.append(f"| {', '.join(entry['cve'])} | {package} | {entry['what']} | {entry['fixed']} | {here} | {entry.get('also', '')} |")
    return lines
