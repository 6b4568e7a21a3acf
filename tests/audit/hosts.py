"""Judges that look at a deployed host from inside."""

import os
import re

from cluster import inventory, remote
from cluster.console import Failure
from cluster.paths import inventory as folder_of

from .scores import EXPOSURE, Finding, Score, counted, exposure_name

ENVIRONMENT = os.environ.get("ENVIRONMENT") or "local"
# The overall line alone; the names of units that run and of those that wait for their socket.
EXPOSURE_OF_UNITS = """for unit in $(systemctl list-units --type=service --plain --no-legend --no-pager | cut -d' ' -f1); do
    printf '%s ' "$unit"
    sudo systemd-analyze --no-pager security "$unit" 2> /dev/null | sed -n 's/.*exposure level for .*: \\([0-9.]*\\) .*/\\1/p'
    echo
done"""


def on(host: str, script: str, seconds: float = 120) -> str:
    said = remote.read(ENVIRONMENT, host, script, seconds)
    if said is None:
        raise Failure(f"{host} does not answer; deploy first: make deploy")
    return said


def all_hosts() -> list[str]:
    groups = inventory.hosts_by_group(folder_of(ENVIRONMENT))
    return list(dict.fromkeys(host for hosts in groups.values() for host in hosts))


def systemd() -> list[Score]:
    """The exposure of each unit that has a limit; two hosts with the same unit are two scores."""
    scores, seen = [], set()
    for host in all_hosts():
        for unit, value in re.findall(r"^(\S+) ([0-9.]+)$", on(host, EXPOSURE_OF_UNITS), re.MULTILINE):
            if name := exposure_name(unit):
                seen.add(name)
                scores.append(Score("systemd", f"{unit} on {host}", float(value), at_most=EXPOSURE[name]))
    if missing := EXPOSURE.keys() - seen:
        raise Failure(f"{', '.join(sorted(missing))} of scores.yml runs on no host; deploy first, a topology that has all: make deploy")
    return scores


def django() -> list[Score]:
    host = next(iter(inventory.hosts_by_group(folder_of(ENVIRONMENT))["app"]))
    said = on(host, "sudo app-manage check --deploy --fail-level WARNING 2>&1; echo code $?")
    found = [Finding(name, host, text) for name, text in re.findall(r"^\?: \((\S+)\) (.*)$", said, re.MULTILINE)]
    if not found and not said.rstrip().endswith("code 0"):
        raise Failure(f"Django's check did not run on {host}:\n{said[-1000:]}")
    return [counted("django", host, found)]
