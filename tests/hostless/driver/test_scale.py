"""How many processes and hosts: what is asked for, what is refused, what is remembered."""

import json

import pytest
import yaml

from cluster import containers, inventory, machines, playbook, remote, scale, settings
from cluster.console import Failure

NOW = {"side_by_side": False, "rig": False}


@pytest.fixture
def ran(checkout, monkeypatch):
    """The playbooks that were run, with a deployed checkout whose hosts run two and two."""
    (checkout / "ansible/inventories/local/group_vars/laurel").mkdir(parents=True)
    calls = []
    monkeypatch.setattr(playbook, "run", lambda name, environment, *arguments: calls.append((name, *arguments)))
    monkeypatch.setattr(playbook, "validate", lambda environment: None)
    sizes = {"daphne_instances": 2, "uwsgi_processes": 2}
    monkeypatch.setattr(inventory, "variables", lambda environment, host: {"sizes": sizes, "scaled": {"uwsgi": 5}})
    for name in ("DAPHNE", "UWSGI", "HOST", "REDIS"):
        monkeypatch.delenv(name, raising=False)
    return calls


def chosen(checkout):
    return yaml.safe_load((checkout / "ansible/inventories/local/group_vars/laurel/scale.yml").read_text())


def test_what_is_not_asked_for_stays_as_it_is(checkout, ran, monkeypatch):
    monkeypatch.setenv("DAPHNE", "4")
    scale.scale(settings.read(), NOW)
    assert chosen(checkout) == {"scaled": {"daphne": 4, "uwsgi": 5}}
    assert [(name, json.loads(values)) for name, _, values in ran] == [("scale", NOW)]


def test_without_a_number_it_says_how_many_there_are(ran):
    with pytest.raises(Failure, match=r"each app host runs 2 daphne, 5 uwsgi; .* make scale DAPHNE=4 UWSGI=8"):
        scale.scale(settings.read(), NOW)


@pytest.mark.parametrize("value", ["x", "0", "65", "-1", "2.5"])
def test_a_number_that_cannot_be_is_refused(ran, monkeypatch, value):
    monkeypatch.setenv("UWSGI", value)
    with pytest.raises(Failure, match="expected a number from 1 to 64"):
        scale.scale(settings.read(), NOW)


def test_what_the_inventory_refuses_is_not_remembered(checkout, ran, monkeypatch):
    def refuse(environment):
        raise Failure("too many")

    monkeypatch.setattr(playbook, "validate", refuse)
    monkeypatch.setenv("UWSGI", "60")
    with pytest.raises(Failure, match="too many"):
        scale.scale(settings.read(), NOW)
    assert not (checkout / "ansible/inventories/local/group_vars/laurel/scale.yml").exists()
    assert ran == []


def test_a_new_host_gets_the_next_free_number_and_is_an_app_host(checkout, settle, ran, monkeypatch):
    settle()
    booted = []
    monkeypatch.setattr(machines, "boot", booted.append)
    monkeypatch.setenv("HOST", "app3")
    scale.add_host(settings.read(), lambda chosen: None)
    folder = checkout / "ansible/inventories/local"
    assert inventory.read_added(folder) == {"app3": 22}
    assert list(inventory.hosts_by_group(folder)["app"]) == ["app1", "app3"]
    assert booted[0].hosts["app3"].endswith(".22")
    inventory.write_added(folder, {})
    assert not (folder / inventory.ADDED).exists()


@pytest.mark.parametrize(
    ("host", "why"), [("", "expected a name"), ("App 3", "expected a name"), ("load", "is a host already, and no app host")]
)
def test_a_host_that_cannot_be_added_is_refused(checkout, settle, ran, monkeypatch, host, why):
    settle()
    monkeypatch.setenv("HOST", host)
    with pytest.raises(Failure, match=why):
        scale.add_host(settings.read(), lambda chosen: None)
    assert not (checkout / "ansible/inventories/local" / inventory.ADDED).exists()


def test_only_an_added_host_can_be_removed(checkout, settle, ran, monkeypatch):
    settle()
    monkeypatch.setenv("HOST", "app1")
    with pytest.raises(Failure, match="expected one that `make add-host` added"):
        scale.remove_host(settings.read(), lambda chosen: None, lambda chosen, host: None)


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_host_that_goes_leaves_no_mark_and_no_container_also_after_an_interruption(checkout, settle, ran, monkeypatch, interrupted):
    settle()
    folder = checkout / "ansible/inventories/local"
    done = []
    inventory.write_added(folder, {} if interrupted else {"app3": 23})
    monkeypatch.setattr(scale, "output", lambda command: "0123")
    monkeypatch.setattr(machines, "prepare", lambda cluster: done.append(f"prepare {list(cluster.hosts)}"))
    monkeypatch.setattr(remote, "read", lambda environment, host, script: done.append(f"{host}: {script}"))
    monkeypatch.setattr(containers, "remove", done.append)
    monkeypatch.setenv("HOST", "app3")
    scale.remove_host(settings.read(), lambda chosen: done.append("provision"), lambda chosen, host: done.append(f"drain {host}"))
    first = [] if interrupted else ["drain app3", "prepare ['edge', 'app1', 'load']"]
    name = inventory.load().container("app3")
    assert done == [*first, "provision", "edge: sudo rm -f /etc/laurel/rotation.out/app3", name]
    assert not (folder / inventory.ADDED).exists()


@pytest.fixture
def removed(monkeypatch):
    """The containers that were removed."""
    gone = []
    monkeypatch.setattr(containers, "remove", gone.append)
    return gone


def redis_hosts(checkout):
    return list(inventory.hosts_by_group(checkout / "ansible/inventories/local")["redis"])


def test_two_more_hosts_for_redis_beside_app_hosts_that_were_added(checkout, settle, ran, removed, monkeypatch):
    settle()
    inventory.write_added(checkout / "ansible/inventories/local", {"app3": 23})
    monkeypatch.setenv("REDIS", "ha")
    scale.choose_redis(settings.read())
    scale.choose_redis(settings.read())
    scale.remove_former_redis(inventory.load())
    assert redis_hosts(checkout) == ["app1", "redis2", "redis3"]
    assert inventory.read_added(checkout / "ansible/inventories/local", "redis") == {"redis2": 32, "redis3": 33}
    assert inventory.read_added(checkout / "ansible/inventories/local") == {"app3": 23}
    assert removed == []


def test_and_one_again_whose_containers_go_after_the_deploy(checkout, settle, ran, removed, monkeypatch):
    cluster = settle()
    inventory.write_added(checkout / "ansible/inventories/local", {"redis2": 32, "redis3": 33}, "redis")
    monkeypatch.setenv("REDIS", "single")
    scale.choose_redis(settings.read())
    assert (redis_hosts(checkout), removed) == (["app1"], [])
    scale.remove_former_redis(inventory.load())
    assert removed == [cluster.container("redis2"), cluster.container("redis3")]
    assert not (checkout / "ansible/inventories/local" / inventory.ADDED).exists()


def test_without_a_word_redis_stays_as_it_is(checkout, settle, ran, removed):
    settle()
    inventory.write_added(checkout / "ansible/inventories/local", {"redis2": 32, "redis3": 33}, "redis")
    scale.choose_redis(settings.read())
    scale.remove_former_redis(inventory.load())
    assert (redis_hosts(checkout), removed) == (["app1", "redis2", "redis3"], [])


def test_a_word_for_redis_that_is_none_is_refused(checkout, monkeypatch):
    monkeypatch.setenv("REDIS", "cluster")
    with pytest.raises(Failure, match="REDIS is 'cluster'; expected one of single, ha"):
        settings.read()
