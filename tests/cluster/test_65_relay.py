"""Deploy, roll back, reload, restart, drain: with people connected, who notice nothing but a socket that comes back."""

import json
import re
import secrets
import shlex
import subprocess

import pytest

from cluster import lock
from crowd import SERVICE_RESTART, using
from helpers import until

SECONDS_AWAY = 5
WSGI = "app/project/wsgi.py"
CONTRACT = """from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("workload", "0002_rows")]
    operations = [migrations.RemoveField("row", "number")]
"""
BREAK = {
    "does not start": 'raise RuntimeError("this release cannot start")\n',
    "is not healthy": 'def application(environ, start_response):\n    start_response("503 Unhealthy", [])\n    return [b"no"]\n',
}


@pytest.fixture
def module(deployed):
    """The WSGI module, to change the release by; as it was afterwards."""
    path = deployed.root / WSGI
    before = path.read_text()
    yield path
    path.write_text(before)


def served(deployed):
    with deployed.browser() as browser:
        return browser.get("/healthz").json()["release"]


def take_release(deployed):
    """What a deploy does to the app hosts, without the rest of it."""
    assert deployed.make("build").code == 0
    return deployed.play("--tags", "release,relay")


def nobody_lost_anything(felt, *, every_socket=True):
    print(json.dumps(felt.summary()))
    assert felt.failed == []
    assert felt.asked_again <= 0.01 * felt.pages
    assert (felt.lost, felt.gaps, felt.duplicated, felt.unrecovered) == (0, 0, 0, 0)
    assert felt.published > 10
    assert set(felt.closed) <= {SERVICE_RESTART}
    assert max(felt.away, default=0) < SECONDS_AWAY
    assert not every_socket or felt.closed[SERVICE_RESTART] > 0


def test_a_deploy_under_load_loses_nothing_and_a_rollback_neither(deployed, talker, room, module):
    before = served(deployed)
    module.write_text(module.read_text() + f"\n# {secrets.token_hex(4)}\n")
    with using(talker, room) as felt:
        done = deployed.make("deploy")
    assert done.code == 0, done.out[-3000:] + done.err
    nobody_lost_anything(felt)
    after = served(deployed)
    assert after != before

    with using(talker, room) as felt:
        done = deployed.make("rollback")
    assert done.code == 0, done.out[-3000:] + done.err
    nobody_lost_anything(felt)
    assert served(deployed) == before


def test_every_worker_entered_the_release_that_is_current(deployed):
    release = served(deployed)
    for host in ("app1", "app2"):
        code, said = deployed.on(host, "sudo relay plan")
        assert code == 0, said
        assert json.loads(said) == {"current": release, "release": release, "units": {}, "out": False, "needed": False}


@pytest.mark.parametrize("verb", ["reload", "restart"])
def test_every_process_is_replaced_and_nobody_notices(deployed, talker, room, verb):
    pids = "systemctl show --property=MainPID --value daphne@1 daphne@2; pgrep -u app uwsgi"
    before = {host: deployed.on(host, pids)[1].split() for host in ("app1", "app2")}
    with using(talker, room) as felt:
        done = deployed.make(verb)
    assert done.code == 0, done.out[-3000:] + done.err
    nobody_lost_anything(felt)
    for host, old in before.items():
        left = set(old) & set(deployed.on(host, pids)[1].split())
        # A reload keeps uWSGI's master.
        assert len(left) == (1 if verb == "reload" else 0)


def test_a_drained_host_gets_nothing_and_comes_back(deployed, talker, room):
    with using(talker, room) as felt:
        done = deployed.make("drain", HOST="app1", WHY="a new disk")
        assert done.code == 0, done.out[-3000:] + done.err
        assert deployed.on("edge", "sudo /etc/laurel/rotation list")[1] == "app1 a new disk\n"
        quiet = "sudo timeout 3 journalctl --unit uwsgi --since now --follow --lines 0 --output cat | grep -c workload; true"
        assert deployed.on("app1", quiet)[1].strip() == "0"
        assert deployed.on("app2", quiet)[1].strip() != "0"
        done = deployed.make("drain", HOST="app2")
        assert done.code == 2
        assert "app2 is the last app host that serves" in done.out
        done = deployed.make("undrain", HOST="app1")
        assert done.code == 0, done.out[-3000:] + done.err
        assert deployed.on("app1", quiet)[1].strip() != "0"
    nobody_lost_anything(felt)


@pytest.mark.parametrize("how", BREAK)
def test_a_release_that_is_broken_never_serves(deployed, talker, room, module, how):
    before = served(deployed)
    module.write_text(BREAK[how] + f"# {secrets.token_hex(4)}\n")
    with using(talker, room) as felt:
        done = take_release(deployed)
    assert done.code == 2
    assert re.search(r"app1 did not take release [0-9a-f]{12}, and serves [0-9a-f]{12} as before: ", done.out), done.out[-3000:]
    if how == "does not start":
        assert "this release cannot start" in done.out
    # The sockets were not even moved.
    nobody_lost_anything(felt, every_socket=False)
    assert sum(felt.closed.values()) == 0
    assert served(deployed) == before

    bad = re.search(r"did not take release ([0-9a-f]{12})", done.out)[1]
    assert re.search(rf"^{bad}  app1 .* bad since ", deployed.make("releases").out, re.MULTILINE)
    refused = deployed.make("rollback", RELEASE=bad)
    assert refused.code == 2
    assert "on every app host there are" in refused.err or "known to be bad" in refused.err
    # Staged, and never served: it is there for whoever wants to know.
    assert deployed.on("app1", f"test -d /srv/app/releases/{bad}/code")[0] == 0


@pytest.fixture
def breaking_migration(deployed):
    """A release whose migration takes a column away that the running one reads."""
    path = deployed.root / "app/workload/migrations/0003_contract.py"
    path.write_text(CONTRACT)
    yield
    path.unlink()


def test_a_migration_that_would_break_the_running_release_is_refused(deployed, breaking_migration):
    before = served(deployed)
    done = take_release(deployed)
    assert done.code == 2
    assert "workload.0003_contract: Remove field number from" in done.out, done.out[-3000:]
    assert "FORCE=1" in done.out
    assert served(deployed) == before
    with deployed.browser() as browser:
        assert browser.get("/workload/row").status_code == 200


def test_a_plan_of_an_unchanged_cluster_shows_no_change(deployed):
    done = deployed.make("plan")
    assert done.code == 0, done.out[-3000:] + done.err
    assert set(re.findall(r"^\w+ +: ok=\d+ +changed=(\d+)", done.out, re.MULTILINE)) == {"0"}
    assert "The release stays " in done.out


def test_maintenance_is_a_page_and_a_promise_to_be_back(deployed, talker, room):
    try:
        assert deployed.make("maintenance", STATE="on").code == 0
        with deployed.browser() as browser:
            answer = browser.get("/")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
            assert "Back soon" in answer.text
    finally:
        assert deployed.make("maintenance", STATE="off").code == 0
    with deployed.browser() as browser:
        assert browser.get("/").status_code == 200


def test_who_did_it_is_written_down(deployed):
    for host in ("edge", "app1"):
        lines = [json.loads(line) for line in deployed.on(host, "cat /var/log/laurel-audit.log")[1].splitlines()]
        assert {"time", "who", "what", "result"} == set(lines[-1])
        deploys = [line for line in lines if line["what"] == "deploy"]
        assert deploys and all("@" in line["who"] for line in deploys)


def test_a_change_from_another_machine_is_told_who_is_at_it(deployed):
    holder = json.dumps({"verb": "deploy", "who": "ada@desk", "pid": 1, "since": "noon", "why": "a fix"})
    # As the verbs hold it: for as long as the connection lives.
    command = ["ssh", "-F", deployed.inventory / "ssh_config", "edge", "--", f"sudo sh -c {shlex.quote(lock.HOLD)}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        other.stdin.write(holder + "\n")
        other.stdin.flush()
        assert other.stdout.readline() == "taken\n"
        done = deployed.make("reload")
        assert done.code == 2
        assert "is being changed from another machine: `make deploy` (a fix) has run by ada@desk since noon as process 1" in done.err
        other.kill()  # a holder that is killed holds nothing
    assert until(lambda: deployed.on("edge", "sudo flock --nonblock /run/laurel.lock true")[0] == 0)
