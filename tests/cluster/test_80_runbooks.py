"""The runbooks, against what they are for: the alert fires, the diagnosis shows it, the mitigation clears it."""

import os
import subprocess

import pytest

import faults
from cluster.paths import ROOT
from helpers import ANSI, SECONDS, User, until
from runbooks import commands

ALERT_SECONDS = 150
# Runbook -> what is done to the cluster, and the alert that has to fire meanwhile.
AGAINST = {
    "redis-down": (faults.redis_stopped, "RedisDown"),
    "database-down": (faults.database_stopped, "DatabaseDown"),
    "app-host-lost": (faults.app1_stopped, "HostLost"),
    "daphne-out-of-memory": (faults.daphne_killed, "OutOfMemory"),
    "uwsgi-worker-stuck": (faults.worker_held, None),
    "restore-from-backup": (faults.backed_up, None),
    "scale-out": (faults.nothing_wrong, None),
    "secrets-leaked": (faults.nothing_wrong, None),
    "os-upgrade": (faults.nothing_wrong, None),
    "tls-renewal": (faults.nothing_wrong, None),
    "disk-full": (faults.nothing_wrong, None),
    "certificate-expiring": (faults.nothing_wrong, None),
}
QUICK = {"redis-down"}  # of them `make test` runs these; `make test-full` all
SKIPPED = ("make dashboard",)  # goes on until somebody ends it


@pytest.fixture(scope="module")
def reader(deployed):
    user = User(deployed).sign_up()
    yield user
    user.browser.close()


def firing(deployed):
    return {alert["labels"]["alertname"] for alert in deployed.prometheus("alerts")["alerts"] if alert["state"] == "firing"}


def run(deployed, command):
    # A `$(…)` of the runbook is the shell's; `make` is the checkout's.
    done = subprocess.run(
        ["sh", "-c", command.text],
        cwd=deployed.root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    said = ANSI.sub("", done.stdout)
    assert command.shows in said, f"`{command.text}` does not show {command.shows!r}:\n{said[-3000:]}"
    return done.returncode


def wanted(name):
    return pytest.param(
        name, marks=[] if name in QUICK or os.environ.get("LAUREL_FULL") else pytest.mark.skip(reason="make test-full runs it")
    )


@pytest.mark.parametrize("name", [wanted(name) for name in AGAINST])
def test_a_runbook_shows_what_is_wrong_and_puts_it_right(deployed, reader, name):
    fault, alert = AGAINST[name]
    text = (ROOT / f"docs/runbooks/{name}.md").read_text()
    with fault(deployed, reader):
        if alert:
            assert until(lambda: alert in firing(deployed), ALERT_SECONDS), f"{alert} did not fire"
        for command in commands(text, "Diagnosis"):
            if not command.text.startswith(SKIPPED):
                run(deployed, command)
        for command in commands(text, "Mitigation"):
            if command.text == "make status":  # it may take a moment
                until(lambda: deployed.make("status").code == 0, 40)
            code = run(deployed, command)
            assert code == 0, command.text
    assert until(lambda: deployed.make("status").code == 0, 60)
    if alert and alert != "OutOfMemory":  # which counts what was within five minutes
        assert until(lambda: alert not in firing(deployed), ALERT_SECONDS), f"{alert} did not clear"


def test_every_command_that_has_to_show_something_is_run_by_a_test():
    for path in (ROOT / "docs/runbooks").glob("*.md"):
        if "# shows: " in path.read_text() and path.name != "README.md":
            assert path.stem in AGAINST or path.stem in {*NOT_RUN, *ELSEWHERE}, path.name


ELSEWHERE = {"redis-failover"}  # test_90_redis_ha.py, which has three Redis
# Whose fault no test makes; what their commands show is looked at by a person.
NOT_RUN = {"daphne-slow-reader", "group-over-capacity", "socket-drop-storm", "uwsgi-listen-queue-full"}


def test_a_runbook_is_read_as_a_person_reads_it():
    diagnosis = "## Diagnosis\n\n```sh\nmake status     # shows: up\nmake logs       # a look\n# only a comment\n```\n"
    text = f"{diagnosis}\n## Mitigation\n\n```sh\nmake reload\n```\n"
    assert [(c.text, c.shows) for c in commands(text, "Diagnosis")] == [("make status", "up"), ("make logs", "")]
    assert [c.text for c in commands(text, "Mitigation")] == ["make reload"]
