"""Redis on three hosts: the one that leads is lost, the application follows another, and the cluster goes back to one."""

import json
import time

import pytest

from cluster.paths import ROOT
from crowd import using
from helpers import changes, receive, until
from runbooks import commands
from test_65_relay import nobody_lost_anything
from test_66_verbs import full, succeeded
from test_80_runbooks import firing, run

pytestmark = full
HOSTS = ("data", "redis2", "redis3")
# Past the Sentinels' three seconds, the vote, and the application's own look.
PATIENCE = 40


@pytest.fixture(scope="module")
def three(deployed, talker, room):
    """The cluster with three Redis hosts, gone over to with people connected; and back again."""
    with using(talker, room) as felt:
        succeeded(deployed.make("deploy", REDIS="ha"))
    nobody_lost_anything(felt, every_socket=False)  # it may have three already
    yield deployed
    with using(talker, room) as felt:
        succeeded(deployed.make("deploy", REDIS="single"))
    nobody_lost_anything(felt)
    assert set(deployed.status()["hosts"]) == {"edge", "app1", "app2", "data", "load"}
    assert "redis-sentinel" not in deployed.status()["hosts"]["data"]["units"]


def leader(cluster):
    """The host that leads, as each Sentinel that answers names it."""
    by_address = {cluster.address(host): host for host in HOSTS}
    said = {cluster.on(host, "sudo redis-leader")[1].strip() for host in HOSTS}
    return by_address[said.pop()] if len(said) == 1 else None


def followers(cluster, host):
    password = cluster.secrets()["watcher_password"]
    said = cluster.on(host, f"REDISCLI_AUTH={password} redis-cli --user watcher --no-auth-warning info replication")[1]
    return int(said.partition("connected_slaves:")[2].split()[0]) if "role:master" in said else None


def arrives(talker, room, text):
    """How long a message takes from its author to a socket."""
    with talker.open(f"/ws{room}") as socket:
        socket.send(json.dumps({"type": "subscribe", "after": None}))
        receive(socket, "subscribed")
        began = time.monotonic()
        socket.send(json.dumps({"type": "publish", "text": text, "key": text}))
        while receive(socket, "message")["text"] != text:
            pass
        return time.monotonic() - began


def test_the_first_of_the_inventory_leads_at_first(three):
    assert until(lambda: leader(three) == "data", PATIENCE)
    assert until(lambda: followers(three, "data") == 2, PATIENCE)
    assert all(three.status()["hosts"][host]["units"]["redis-sentinel"] == "active" for host in HOSTS)


def test_a_second_deploy_changes_nothing(three):
    done = succeeded(three.make("deploy"))
    assert set(changes(done.out).values()) == {0}, changes(done.out)


@pytest.mark.parametrize("command", ["replicaof no one", "psync ? -1", "config rewrite", "publish __sentinel__:hello x && info"])
def test_the_application_cannot_change_who_leads(three, command):
    password = three.secrets()["redis_password"]
    login = f"REDISCLI_AUTH={password} redis-cli --user channels --no-auth-warning"
    assert "NOPERM" in three.on("data", f"{login} {command.replace('&& ', f'&& {login} ')}")[1]


@pytest.mark.parametrize(
    ("command", "allowed"), [("get-master-addr-by-name laurel", True), ("failover laurel", False), ("set laurel quorum 1", False)]
)
def test_the_application_may_ask_a_sentinel_who_leads_and_no_more(three, command, allowed):
    password = three.secrets()["redis_password"]
    said = three.on("data", f"REDISCLI_AUTH={password} redis-cli -p 26379 --user finder --no-auth-warning sentinel {command}")[1]
    assert ("NOPERM" not in said) == allowed, said
    assert "WRONGPASS" not in said


def test_who_has_no_business_with_a_sentinel_is_not_let_in(three):
    ask = f"import socket; socket.create_connection(('{three.address('data')}', 26379), 3); print('in')"
    assert "in\n" not in three.on("load", f'python3 -c "{ask}"')[1]
    assert "in\n" in three.on("app1", f'python3 -c "{ask}"')[1]


def test_the_configuration_cannot_be_written_by_what_runs(three):
    password = three.secrets()["redis_peer_password"]
    said = three.on("data", f"REDISCLI_AUTH={password} redis-cli --user sentinel --no-auth-warning config rewrite")[1]
    assert "Read-only file system" in said, said


def test_another_leads_when_the_first_is_lost_and_nobody_loses_anything(three, talker, room):
    assert leader(three) == "data"
    with using(talker, room) as felt:
        assert three.on("data", "sudo systemctl stop redis-server")[0] == 0
        try:
            assert until(lambda: leader(three) not in (None, "data"), PATIENCE)
            assert until(lambda: "RedisMissing" in firing(three), 150)
            text = (ROOT / "docs/runbooks/redis-failover.md").read_text()
            for command in commands(text, "Diagnosis"):
                run(three, command)
            for command in commands(text, "Mitigation"):
                if command.text == "make status":
                    until(lambda: three.make("status").code == 0, PATIENCE)
                assert run(three, command) == 0, command.text
        finally:
            three.on("data", "sudo systemctl start redis-server")
        assert until(lambda: followers(three, leader(three)) == 2, PATIENCE)
    nobody_lost_anything(felt, every_socket=False)
    assert felt.closed == {}
    assert arrives(talker, room, "after the failover") < 2
    assert until(lambda: "RedisMissing" not in firing(three), 150)


def test_who_leads_can_be_changed_on_purpose_and_outlives_a_restart_of_all_sentinels(three, talker, room):
    before = leader(three)
    with using(talker, room) as felt:
        # Not within twice the failover's time after the last one.
        assert until(lambda: three.on("redis3", "sudo redis-leader move")[0] == 0, PATIENCE)
        after = leader(three)
        assert after and after != before
        for host in HOSTS:
            assert three.on(host, "sudo systemctl restart redis-sentinel")[0] == 0
        assert until(lambda: leader(three) == after, PATIENCE)
    nobody_lost_anything(felt, every_socket=False)
    assert felt.closed == {}


def test_the_passwords_of_servers_and_sentinels_are_replaced_with_people_connected(three, talker, room):
    with using(talker, room) as felt:
        succeeded(three.make("rotate-secrets", SECRET="redis_password,redis_peer_password"))
    nobody_lost_anything(felt, every_socket=False)
    assert until(lambda: leader(three) and followers(three, leader(three)) == 2, PATIENCE)
