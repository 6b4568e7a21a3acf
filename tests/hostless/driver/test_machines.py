"""What is in the way of a boot: ports of others, leftovers of a killed run."""

import json
import socket
import subprocess

import pytest

from cluster import containers, image, inventory, machines, settings
from cluster.console import Failure

TAG = "laurel-node:1"


def container(cluster, host, *ports, **changes):
    """What `docker inspect` says of a container."""
    return {
        "Id": f"id-{host}",
        "State": {"Running": True},
        "Config": {"Image": TAG},
        "HostConfig": {"PortBindings": {f"{port}/tcp": [{"HostPort": str(port)}] for port in ports}},
        "NetworkSettings": {"Networks": {cluster.name: {"IPAMConfig": {"IPv4Address": cluster.hosts[host]}}}},
    } | changes


@pytest.fixture
def engine(monkeypatch, checkout):
    """An engine with these containers, which Vagrant knows; tells what was removed."""

    class Engine:
        found = {}
        removed = []

        def hold(self, host, inspected, vagrant_knows=True):
            self.found[host] = inspected
            if vagrant_knows:
                known = checkout / f".vagrant/machines/{host}/docker/id"
                known.parent.mkdir(parents=True)
                known.write_text(inspected["Id"])

        def run(self, command, **_):
            assert command[:3] == ["docker", "rm", "--force"]
            self.removed.append(command[-1])
            return subprocess.CompletedProcess(command, 0)

    engine = Engine()
    engine.found, engine.removed = {}, []
    monkeypatch.setattr(containers, "found", lambda _: dict(engine.found))
    monkeypatch.setattr(containers, "ports_of_others", lambda _: {})
    monkeypatch.setattr(subprocess, "run", engine.run)
    monkeypatch.setattr(machines, "vagrant_is_there", lambda: True)
    monkeypatch.setattr(machines, "output", lambda command: "id" if command[-1] in {item["Id"] for item in engine.found.values()} else None)
    monkeypatch.setattr(image, "node_tag", lambda: TAG)
    return engine


@pytest.fixture
def one_port_taken(settle):
    """A cluster whose LOCUST_PORT somebody has; and that port."""
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as free, socket.socket() as free_too:
        ports = {"LOCUST_PORT": taken.getsockname()[1]}
        for name, probe in {"HTTP_PORT": free, "HTTPS_PORT": free_too}.items():
            probe.bind(("127.0.0.1", 0))
            ports[name] = probe.getsockname()[1]
            probe.close()
        yield settle(**{name: str(port) for name, port in ports.items()}), ports["LOCUST_PORT"]


def test_a_port_of_somebody_else_is_named_with_its_setting(engine, one_port_taken):
    cluster, taken = one_port_taken
    with pytest.raises(Failure, match=rf"port {taken} on 127\.0\.0\.1 cannot be had .*: make deploy LOCUST_PORT=\d+") as failure:
        machines.check_ports(cluster)
    assert 1024 <= int(str(failure.value).rpartition("=")[2]) <= 65535


def test_a_port_of_a_running_host_of_ours_is_no_obstacle(engine, one_port_taken):
    cluster, taken = one_port_taken
    engine.hold("load", container(cluster, "load", taken))
    machines.check_ports(cluster)


def test_a_port_of_a_stopped_container_of_others_is_named_with_its_owner(engine, settle, monkeypatch):
    """Nobody listens there, so it looks free; Vagrant refuses it."""
    cluster = settle(HTTP_PORT="18080")
    monkeypatch.setattr(containers, "ports_of_others", lambda _: {18080: ("laurel-0-edge", "/there")})
    with pytest.raises(Failure, match=r"port 18080 is kept by the container laurel-0-edge, .* HTTP_PORT=19080, .*: make -C /there destroy"):
        machines.check_ports(cluster)
    monkeypatch.setattr(containers, "ports_of_others", lambda _: {18080: ("web", None)})
    with pytest.raises(Failure, match="docker rm --force web"):
        machines.check_ports(cluster)


def test_the_ports_of_others_are_read_from_the_engine(settle, monkeypatch, tmp_path):
    cluster = settle()
    (tmp_path / "Makefile").touch()
    bind = f"{tmp_path}/ansible/inventories/local/ssh/id_ed25519.pub:/etc/ssh/authorized_keys.d/vagrant:ro"
    theirs = container(cluster, "edge", 18080) | {"Name": "/laurel-0-edge"}
    theirs["HostConfig"] |= {"Binds": [bind]}
    web = container(cluster, "edge", 18443) | {"Name": "/web"}
    web["HostConfig"] |= {"Binds": None}
    ours = container(cluster, "load", 18089) | {"Name": f"/{cluster.container('load')}"}
    said = {"ls": "1 2 3", "inspect": json.dumps([theirs, web, ours])}
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, said[command[2]]))
    assert containers.ports_of_others(cluster) == {18080: ("laurel-0-edge", str(tmp_path)), 18443: ("web", None)}


def test_containers_that_fit_are_kept(settle, engine):
    cluster = settle()
    engine.hold("edge", container(cluster, "edge", 8080, 8443))
    engine.hold("app1", container(cluster, "app1"))
    machines.remove_leftovers(cluster)
    assert engine.removed == []


@pytest.mark.parametrize(
    "changes",
    [
        {"Id": "id-another"},
        {"Config": {"Image": "laurel-node:0"}},
        {"HostConfig": {"PortBindings": {"9999/tcp": [{"HostPort": "9999"}]}}},
        {"HostConfig": {"PortBindings": None}},
        {"NetworkSettings": {"Networks": {"x": {"IPAMConfig": {"IPv4Address": "198.18.1.11"}}}}},
        {"NetworkSettings": {"Networks": {"bridge": {"IPAMConfig": None}}}},
    ],
    ids=["unknown to Vagrant", "another image", "another port", "no port", "another address", "no address"],
)
def test_a_container_of_another_run_or_of_other_settings_is_removed(settle, engine, checkout, changes):
    cluster = settle()
    engine.hold("edge", container(cluster, "edge", 8080, 8443))
    engine.found["edge"] |= changes
    machines.remove_leftovers(cluster)
    assert engine.removed == [engine.found["edge"]["Id"]]
    assert not (checkout / ".vagrant/machines/edge/docker").exists()


def test_a_container_that_vagrant_forgot_is_removed(settle, engine):
    cluster = settle()
    engine.hold("app1", container(cluster, "app1"), vagrant_knows=False)
    machines.remove_leftovers(cluster)
    assert engine.removed == ["id-app1"]


def test_where_there_is_no_vagrant_its_memory_does_not_count(settle, engine, monkeypatch):
    monkeypatch.setattr(machines, "vagrant_is_there", lambda: False)
    cluster = settle()
    engine.hold("app1", container(cluster, "app1"), vagrant_knows=False)
    machines.remove_leftovers(cluster)
    assert engine.removed == []


def test_without_vagrant_the_engine_boots_what_does_not_run(settle, engine, monkeypatch):
    cluster = settle()
    engine.hold("app1", container(cluster, "app1"))
    commands = []
    monkeypatch.setattr(containers, "run", lambda command, **_: commands.append(command))
    containers.boot(cluster, TAG)
    by_host = {command[command.index("--hostname") + 1]: command for command in commands if command[1] == "run"}
    assert set(by_host) == {"edge", "load"}
    assert ["docker", "start", cluster.container("app1")] in commands
    edge = " ".join(by_host["edge"])
    assert f"--name {cluster.container('edge')} --publish 127.0.0.1:8080:8080 --publish 127.0.0.1:8443:8443 " in edge
    assert f"--network {cluster.name} --ip {cluster.hosts['edge']} " in edge
    assert edge.endswith(f":/etc/ssh/authorized_keys.d/vagrant:ro {TAG}")
    assert "--privileged" not in edge


def test_vagrant_forgets_a_container_that_is_gone(settle, engine, checkout):
    cluster = settle()
    engine.hold("app1", container(cluster, "app1"))
    engine.found.clear()
    machines.remove_leftovers(cluster)
    assert not (checkout / ".vagrant/machines/app1/docker").exists()


def test_the_ssh_config_trusts_no_unknown_host_and_fits_a_socket(settle, checkout, monkeypatch):
    cluster = settle()
    monkeypatch.setattr(machines, "ensure_key", lambda folder: folder / "ssh/id_ed25519")
    monkeypatch.setenv("HOME", str(checkout))
    machines.write_ssh_config(cluster, checkout / "ansible/inventories/local")
    text = (checkout / "ansible/inventories/local/ssh_config").read_text()
    assert f"Host edge {cluster.hosts['edge']}\n" in text
    assert "StrictHostKeyChecking yes\n" in text
    assert "ControlPath ~/.ssh/laurel-%C\n" in text


def test_a_port_that_cannot_be_had_leaves_the_cluster_as_it_is(engine, one_port_taken, settle, checkout, monkeypatch):
    _, taken = one_port_taken
    cluster = settle(LOCUST_PORT="9089")
    engine.hold("load", container(cluster, "load", 9089))
    monkeypatch.setattr(image, "node", lambda: TAG)
    monkeypatch.setenv("LOCUST_PORT", str(taken))
    with pytest.raises(Failure, match=f"port {taken} "):
        machines.prepare(inventory.choose(settings.read()))
    assert engine.removed == []
    assert inventory.load() == cluster
