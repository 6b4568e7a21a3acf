"""Scale, back up, restore, add a host, rotate secrets, upgrade: with people connected."""

import json
import os
import re
import secrets
import shlex

import pytest

from cluster.paths import ROOT
from crowd import SERVICE_RESTART, using
from helpers import changes
from test_65_relay import nobody_lost_anything, served

# The long ones, which `make test-full` runs.
full = pytest.mark.skipif(not os.environ.get("LAUREL_FULL"), reason="make test-full runs it")
OLDER_PACKAGE = (ROOT / "loadtests/impact/older-package.sh").read_text()
ASK_REDIS = """import socket, sys
redis = socket.create_connection((sys.argv[1], 6379), 3)
redis.sendall(f"AUTH channels {sys.argv[2]}\\r\\n".encode())
print(redis.recv(99))"""


def older_package(verb):
    return f"sudo sh -c {shlex.quote(OLDER_PACKAGE)} older-package.sh {verb}"


def succeeded(done):
    assert done.code == 0, done.out[-3000:] + done.err
    return done


def units(deployed, host):
    return {name: state for name, state in deployed.status()["hosts"][host]["units"].items() if state == "active"}


def test_more_processes_and_fewer_again_cost_nobody_anything(deployed, talker, room):
    with using(talker, room) as felt:
        succeeded(deployed.make("scale", DAPHNE=3, UWSGI=3))
    nobody_lost_anything(felt)
    for host in ("app1", "app2"):
        assert "daphne@3" in units(deployed, host)
        workers = "pgrep --count --parent $(systemctl show --property=MainPID --value uwsgi)"
        assert deployed.on(host, workers)[1].strip() == "3"
    assert (
        deployed.on("edge", "sudo grep -c :9003 /etc/laurel/nginx/upstreams.conf")[1].strip() == "4"
    )  # two, and both again for when all are left out

    with using(talker, room) as felt:
        succeeded(deployed.make("scale", DAPHNE=2, UWSGI=2))
    nobody_lost_anything(felt)
    for host in ("app1", "app2"):
        assert "daphne@3" not in units(deployed, host)
        assert deployed.on(host, "sudo nft list table inet laurel | grep -c 9003")[1].strip() == "0"


def test_a_number_that_the_database_cannot_serve_is_refused_before_anything_changes(deployed):
    done = deployed.make("scale", DAPHNE=60)
    assert done.code == 2
    assert "sizes.postgresql_max_connections is 100: raise it, or run fewer" in done.err
    assert succeeded(deployed.make("status"))


def test_a_backup_is_proved_and_a_restore_brings_back_what_it_held(deployed, talker, room):
    def publish(text):
        with talker.open(f"/ws{room}") as socket:
            socket.send(json.dumps({"type": "publish", "text": text}))
            while (frame := json.loads(socket.recv(timeout=10)))["type"] != "ack":
                pass
        return frame["id"]

    def texts():
        messages, after = [], 0
        while page := talker.browser.get(f"{room}messages?after={after}").json()["messages"]:
            messages += [message["text"] for message in page]
            after = page[-1]["id"]
        return messages

    kept = f"kept {secrets.token_hex(8)}"
    publish(kept)
    with using(talker, room) as felt:
        done = succeeded(deployed.make("backup"))
    nobody_lost_anything(felt, every_socket=False)
    assert sum(felt.closed.values()) == 0
    name = re.search(r"^Backup (\d{8}-\d{6}): ", done.out, re.MULTILINE)[1]
    assert name in succeeded(deployed.make("backups")).out
    assert oct((deployed.root / "backups/local").stat().st_mode & 0o777) == "0o700"

    after = f"after {secrets.token_hex(8)}"
    publish(after)
    assert {kept, after} <= set(texts())
    done = succeeded(deployed.make("restore", BACKUP=name))
    copy = re.search(r'"kept": "(app_before_\d{8}_\d{6})"', done.out)[1]
    assert kept in texts() and after not in texts()
    assert talker.browser.get("/rooms/").status_code == 200
    # What was set aside is all there, and goes when it is told to.
    look = f"cd / && sudo -u postgres psql -tAc \"SELECT count(*) FROM rooms_message WHERE text = '{after}'\" {copy}"
    assert deployed.on("data", look)[1].strip() == "1"
    assert deployed.on("data", f"cd / && sudo -u postgres laurel-backup --database app forget {copy}")[0] == 0


def test_a_backup_that_was_spoiled_is_not_restored(deployed, talker):
    name = re.search(r"^(\d{8}-\d{6})", succeeded(deployed.make("backups")).out, re.MULTILINE)[1]
    facts = f"/var/backups/laurel/{name}/facts.json"
    assert deployed.on("data", f'sudo cp {facts} /var/tmp/facts; sudo sed -i \'0,/\\[$/s//[ /; s/"-\\?[0-9]\\+"/"1"/\' {facts}')[0] == 0
    try:
        done = deployed.make("restore", BACKUP=name)
        assert done.code == 2
        assert f"the backup {name} is not what was backed up" in done.out
    finally:
        assert deployed.on("data", f"sudo cp /var/tmp/facts {facts}")[0] == 0
    assert talker.browser.get("/rooms/").status_code == 200
    assert (
        deployed.on("data", "cd / && sudo -u postgres psql -tAc \"SELECT datname FROM pg_database WHERE datname LIKE 'app_%'\"")[1].strip()
        == ""
    )


def test_a_backup_that_is_none_lists_those_that_are(deployed):
    done = deployed.make("restore", BACKUP="19700101-000000")
    assert done.code == 2
    assert re.search(r"BACKUP is '19700101-000000'; there are: \d{8}-\d{6}", done.err)


def test_one_request_is_found_on_every_host_that_it_came_through(deployed):
    with deployed.browser() as browser:
        request = browser.get("/workload/row").headers["x-request-id"]
    seen = []
    for _ in range(5):  # nginx writes its log once a second
        seen = [tuple(line.split()[:2]) for line in deployed.make("logs", REQUEST=request).out.splitlines()]
        if len(seen) > 1:
            break
    assert seen[0] == ("edge", "nginx")
    assert seen[1] in {("app1", "uwsgi"), ("app2", "uwsgi")}
    done = deployed.make("logs", REQUEST="0" * 32)
    assert done.code != 0 and "No host knows of it" in done.out
    assert "expected the 32 hex digits" in deployed.make("logs", REQUEST="x").err


@full
def test_new_secrets_cost_nobody_anything_and_the_old_ones_open_nothing(deployed, talker, room):
    before = deployed.secrets()
    with using(talker, room) as felt:
        succeeded(deployed.make("rotate-secrets"))
    nobody_lost_anything(felt)
    after = deployed.secrets()
    for name in ("database_password", "database_owner_password", "redis_password", "mqtt_bridge"):
        assert after[name] != before[name]
    assert talker.browser.get("/rooms/").status_code == 200
    ask = f"python3 -c {shlex.quote(ASK_REDIS)}"
    for password, answer in ((before["redis_password"], "WRONGPASS"), (after["redis_password"], "OK")):
        assert answer in deployed.on("app1", f"{ask} {deployed.address('data')} {password}")[1]
    logins = "cd / && sudo -u postgres psql -tAc \"SELECT count(*) FROM pg_roles WHERE rolname LIKE 'app%' AND rolcanlogin\""
    assert deployed.on("data", logins)[1].strip() == "2"  # the application's, and that of its migrations
    assert set(changes(succeeded(deployed.make("deploy")).out).values()) == {0}


@full
def test_a_host_joins_and_leaves_the_running_cluster(deployed, talker, room):
    with using(talker, room) as felt:
        done = succeeded(deployed.make("add-host", HOST="app3"))
    assert "app3 serves: app1, app2, app3." in done.out
    nobody_lost_anything(felt, every_socket=False)
    assert "uwsgi" in units(deployed, "app3")
    with using(talker, room) as felt:
        succeeded(deployed.make("remove-host", HOST="app3"))
    nobody_lost_anything(felt, every_socket=False)
    assert set(deployed.status()["hosts"]) == {"edge", "app1", "app2", "data", "load"}
    assert deployed.git_status() == ""


@full
def test_packages_are_upgraded_host_by_host_and_only_where_there_are_some(deployed, talker, room):
    succeeded(deployed.make("upgrade-os"))  # whatever the archive holds by now
    before = deployed.on("app1", "systemctl show --property=MainPID --value uwsgi")[1]
    try:
        assert deployed.on("app2", older_package("put"))[0] == 0
        with using(talker, room) as felt:
            succeeded(deployed.make("upgrade-os"))
        nobody_lost_anything(felt)
        assert set(felt.closed) == {SERVICE_RESTART}
        assert deployed.on("app2", older_package("upgraded"))[0] == 0
        assert deployed.on("app1", "systemctl show --property=MainPID --value uwsgi")[1] == before
        assert deployed.on("edge", "sudo /etc/laurel/rotation list")[1] == ""
    finally:
        deployed.on("app2", older_package("forget"))
    assert served(deployed)
