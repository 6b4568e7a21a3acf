"""The same definition of the hosts for each provider: Vagrant takes it, and a cluster keeps the provider it has."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cluster import containers, inventory, machines, settings, virtual
from cluster.console import Failure

ROOT = Path(__file__).resolve().parents[3]
# Vagrant asks VirtualBox for its version before it reads a definition.
VBOXMANAGE = "#!/bin/sh\necho 7.0.20r163906\n"


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A copy of what Vagrant reads, with a cluster of its own written down for a provider: written("libvirt")."""

    def written(provider):
        copy = tmp_path / "copy"
        folder = copy / "ansible/inventories/local"
        (folder / "ssh").mkdir(parents=True)
        (copy / ".laurel").mkdir()
        shutil.copy(ROOT / "Vagrantfile", copy)
        shutil.copy(ROOT / "ansible/inventories/local/hosts.yml", folder)
        (folder / "ssh/id_ed25519").touch()
        (folder / "ssh/id_ed25519.pub").write_text("ssh-ed25519 AAAA laurel\n")
        (copy / ".laurel/node-image").write_text("laurel-node:1\n")
        hosts = {host: f"198.18.9.{number}" for host, number in inventory.cluster_numbers(folder).items()}
        ports = dict.fromkeys(settings.PORT_SETTINGS, 9080)
        cluster = inventory.Cluster("laurel-abcdef", "198.18.9.0/24", provider, "127.0.0.1", ports, hosts)
        inventory.write(cluster, folder / "addresses.yml")
        if provider == "docker":
            monkeypatch.setattr(containers, "DEFINITION", copy / ".laurel/containers.json")
            containers.write_definition(cluster)
        return copy

    return written


@pytest.mark.parametrize("provider", settings.PROVIDERS)
def test_vagrant_takes_the_definition(provider, written, tmp_path):
    if shutil.which("vagrant") is None:
        pytest.skip("no Vagrant here")
    if provider == "libvirt" and not virtual.has_plugin():
        pytest.skip("no vagrant-libvirt here")
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "VBoxManage").write_text(VBOXMANAGE)
    (commands / "VBoxManage").chmod(0o755)
    env = os.environ | {"PROVIDER": provider, "LAUREL_BOOT_ONLY": "1", "VAGRANT_HOME": str(tmp_path / "home")}
    env["PATH"] = f"{commands}:{env['PATH']}"
    done = subprocess.run(["vagrant", "validate"], cwd=written(provider), env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validated successfully" in done.stdout


def test_a_cluster_keeps_the_provider_it_was_made_with(settle):
    assert settle(PROVIDER="libvirt").provider == "libvirt"
    assert settle().provider == "libvirt"
    assert settle(PROVIDER="libvirt").provider == "libvirt"


@pytest.mark.parametrize(("before", "after"), [("docker", "libvirt"), ("libvirt", "docker"), ("virtualbox", "docker")])
def test_another_provider_is_refused_with_the_way_there(settle, before, after):
    settle(PROVIDER=before)
    with pytest.raises(Failure, match=f"runs on {before}, not {after}; remove it first: make destroy && make deploy PROVIDER={after}"):
        settle(PROVIDER=after)


NETWORK = (
    "<network><name>n</name><ip address='198.18.7.1' netmask='255.255.255.0'/><ip family='ipv6' address='fd00::1' prefix='64'/></network>"
)


def test_a_network_of_virtual_machines_is_not_taken_again(monkeypatch):
    answers = {("net-list", "--all", "--name"): "laurel-abcdef\n", ("net-dumpxml", "laurel-abcdef"): NETWORK}
    monkeypatch.setattr(inventory, "virsh", lambda *words: answers[words])
    monkeypatch.setattr(inventory, "docker_networks", dict)
    assert inventory.networks_in_use() == {"198.18.7.0/24": "laurel-abcdef"}
    assert inventory.choose_network("laurel-abcdef") == "198.18.7.0/24"


@pytest.fixture
def libvirt(settle, checkout, monkeypatch):
    """A cluster on libvirt whose machine `edge` runs; tells what was removed."""
    cluster = settle(PROVIDER="libvirt")
    removed = []
    monkeypatch.setattr(virtual, "ROOT", checkout)
    monkeypatch.setattr(virtual, "names", lambda *_, running: {cluster.container("edge")})
    monkeypatch.setattr(virtual, "identity", lambda *_: "id-edge")
    monkeypatch.setattr(virtual, "remove_machine", lambda _, host: removed.append(host))
    notes = virtual.folder(cluster, "edge")
    (notes / "pids").mkdir(parents=True)
    (notes / "id").write_text("id-edge")
    (notes / "action_provision").write_text("1.5:id-edge")
    return cluster, notes, removed


def test_a_virtual_machine_that_fits_is_kept(libvirt):
    cluster, _, removed = libvirt
    virtual.remove_leftovers(cluster)
    assert removed == []


@pytest.mark.parametrize("broken", ["id", "action_provision"])
def test_a_virtual_machine_that_was_left_half_made_is_removed(libvirt, broken):
    cluster, notes, removed = libvirt
    (notes / broken).unlink()
    virtual.remove_leftovers(cluster)
    assert removed == ["edge"]


def test_a_machine_without_its_ports_is_started_again(libvirt, tmp_path):
    cluster, notes, _ = libvirt
    (notes / "pids/ssh_8443.pid").write_text("not a process")
    assert machines.strayed(cluster) == ["edge", "load"]
    # What Vagrant starts, as far as can be seen.
    words = [sys.executable, "-c", "print(flush=True); input()", "-L", "127.0.0.1:8443:198.19.9.5:8443"]
    forwarding = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        forwarding.stdout.readline()
        (notes / "pids/ssh_8443.pid").write_text(str(forwarding.pid))
        assert virtual.forwarded(cluster, "edge") == {("127.0.0.1", 8443)}
    finally:
        forwarding.kill()
        forwarding.communicate()


@pytest.mark.parametrize(
    ("lines", "allowed"), [("", False), ("* 10.0.0.0/8\n", False), ("* 198.18.0.0/15\n", True), ("* 0.0.0.0/0 ::/0\n", True)]
)
def test_virtualbox_is_asked_whether_it_may_have_the_network(tmp_path, monkeypatch, lines, allowed):
    monkeypatch.setattr(virtual, "VIRTUALBOX_NETWORKS", tmp_path / "networks.conf")
    (tmp_path / "networks.conf").write_text(lines)
    assert virtual.virtualbox_allows(inventory.POOL) is allowed
