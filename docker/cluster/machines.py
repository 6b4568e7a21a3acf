"""The cluster's machines: boot them through Vagrant, know their SSH keys, remove them."""

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

from . import engine, image, inventory, virtual
from .console import Failure, output, run, say, step
from .inventory import Cluster
from .paths import ROOT, STATE
from .paths import inventory as folder_of

VAGRANT_ENV = {"VAGRANT_CHECKPOINT_DISABLE": "1", "LAUREL_BOOT_ONLY": "1"}
HOST_KEY_SECONDS = 30


def ensure(provider: str) -> None:
    """Return with an engine or a hypervisor that answers, or raise Failure with what to do."""
    if provider == "docker":
        engine.ensure()
    else:
        virtual.ensure(provider)


def containers(cluster: Cluster) -> dict[str, dict]:
    """The cluster's containers on this machine as {host: docker inspect}."""
    names = [cluster.container(host) for host in cluster.hosts]
    found = subprocess.run(["docker", "container", "inspect", *names], capture_output=True, text=True).stdout
    by_name = {item["Name"].lstrip("/"): item for item in json.loads(found or "[]")}
    return {host: by_name[cluster.container(host)] for host in cluster.hosts if cluster.container(host) in by_name}


def running(cluster: Cluster) -> set[str]:
    if cluster.provider != "docker":
        return virtual.running(cluster)
    return {host for host, state in containers(cluster).items() if state["State"]["Running"]}


def published(cluster: Cluster) -> dict[str, tuple[str, int]]:
    """Which host publishes which setting's port: {setting: (host, port)}."""
    edge = next(iter(inventory.hosts_by_group(folder_of("local"))["nginx"]))
    load = next(iter(inventory.hosts_by_group(folder_of("local"))["locust"]))
    return {
        "HTTP_PORT": (edge, cluster.ports["HTTP_PORT"]),
        "HTTPS_PORT": (edge, cluster.ports["HTTPS_PORT"]),
        "LOCUST_PORT": (load, cluster.ports["LOCUST_PORT"]),
    }


def bound_ports(state: dict) -> set[int]:
    """The ports that a container publishes."""
    return {int(binding["HostPort"]) for bindings in (state["HostConfig"]["PortBindings"] or {}).values() for binding in bindings}


def check_ports(cluster: Cluster) -> None:
    """Refuse ports that somebody else on this machine has, by name of port and setting."""
    if cluster.provider == "docker":
        ours = {port for state in containers(cluster).values() if state["State"]["Running"] for port in bound_ports(state)}
    else:
        ours = {port for host in cluster.hosts for _, port in virtual.forwarded(cluster, host)}
    for setting, (_, port) in published(cluster).items():
        if port in ours:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((cluster.bind, port))
            except OSError as error:
                another = port + 1000 if port + 1000 <= 65535 else port - 1000
                raise Failure(
                    f"port {port} on {cluster.bind} cannot be had ({error.strerror}); choose another: make deploy {setting}={another}"
                ) from error


def remove_leftovers(cluster: Cluster) -> None:
    """Remove containers that Vagrant no longer knows, and those made for other ports or another image."""
    tag = image.node_tag()
    ports = published(cluster)
    for host, state in containers(cluster).items():
        known = ROOT / f".vagrant/machines/{host}/docker/id"
        wanted = {port for owner, port in ports.values() if owner == host}
        addresses = {net["IPAMConfig"]["IPv4Address"] for net in state["NetworkSettings"]["Networks"].values() if net["IPAMConfig"]}
        stale = (
            not known.is_file()
            or known.read_text().strip() != state["Id"]
            or state["Config"]["Image"] != tag
            or not wanted <= bound_ports(state)
            or cluster.hosts[host] not in addresses
        )
        if stale:
            say(f"  Replacing {cluster.container(host)}: it is left over from another run or other settings")
            subprocess.run(["docker", "rm", "--force", "--volumes", state["Id"]], capture_output=True, check=False)
            shutil.rmtree(known.parent, ignore_errors=True)
    for known in (ROOT / ".vagrant/machines").glob("*/docker/id"):
        if output(["docker", "container", "inspect", "--format", "{{.Id}}", known.read_text().strip()]) is None:
            shutil.rmtree(known.parent)


def ensure_network(cluster: Cluster) -> None:
    for subnet, name in inventory.docker_networks().items():
        if name == cluster.name and subnet == cluster.network:
            return
        if name == cluster.name:
            subprocess.run(["docker", "network", "rm", name], capture_output=True, check=False)
    made = subprocess.run(["docker", "network", "create", "--subnet", cluster.network, cluster.name], capture_output=True, text=True)
    if made.returncode:
        raise Failure(f"the network {cluster.network} cannot be made: {made.stderr.strip()}; free it with: docker network prune")


def ensure_key(folder: Path) -> Path:
    """The SSH key of this cluster, made once."""
    key = folder / "ssh" / "id_ed25519"
    if not key.is_file():
        key.parent.mkdir(mode=0o700, exist_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "laurel", "-f", key], log="ssh-keygen")
    return key


def write_ssh_config(cluster: Cluster, folder: Path) -> None:
    """One ssh_config for Ansible, the lab, the tests and people."""
    key = ensure_key(folder)
    lines = ["# Generated by `make`. Use it as: ssh -F THIS_FILE HOST"]
    for host, address in cluster.hosts.items():
        lines += [f"Host {host} {address}", f"    HostName {address}"]
    lines += [
        "Host *",
        "    User vagrant",
        f"    IdentityFile {key}",
        "    IdentitiesOnly yes",
        f"    UserKnownHostsFile {folder / 'ssh' / 'known_hosts'}",
        "    StrictHostKeyChecking yes",
        "    ControlMaster auto",
        # The hash keeps the path below the 108 bytes of a Unix socket, however deep the checkout lies.
        "    ControlPath ~/.ssh/laurel-%C",
        "    ControlPersist 60",
        "    LogLevel ERROR",
        "    ConnectTimeout 10",
    ]
    Path("~/.ssh").expanduser().mkdir(mode=0o700, exist_ok=True)
    path = folder / "ssh_config"
    text = "\n".join(lines) + "\n"
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)


def learn_host_keys(cluster: Cluster, folder: Path) -> None:
    """Write known_hosts from inside the hosts, so that no key is taken on trust from the network."""
    if cluster.provider != "docker" and virtual.reachable(cluster):
        return
    read = "for i in $(seq 60); do cat /etc/ssh/ssh_host_ed25519_key.pub 2>/dev/null && exit; sleep 0.5; done; exit 1"
    in_docker = cluster.provider == "docker"
    keys = {} if in_docker else virtual.host_keys(cluster)
    lines = []
    for host, address in cluster.hosts.items():
        key = output(["docker", "exec", cluster.container(host), "sh", "-c", read]) if in_docker else keys[host]
        if not key:
            look = f"docker logs {cluster.container(host)}" if in_docker else f"vagrant ssh {host}"
            raise Failure(f"{host} shows no SSH host key after {HOST_KEY_SECONDS} s; look at it with: {look}")
        lines.append(f"{host},{address} {' '.join(key.split()[:2])}\n")
    known = folder / "ssh" / "known_hosts"
    if not known.is_file() or known.read_text() != "".join(lines):
        known.write_text("".join(lines))


def prepare(cluster: Cluster) -> None:
    """What must be there before `vagrant up`: image, network, key, free ports."""
    if cluster.provider == "docker":
        STATE.mkdir(exist_ok=True)
        (STATE / "node-image").write_text(image.node() + "\n")
        # First, so that a port that cannot be had leaves everything as it is.
        check_ports(cluster)
        remove_leftovers(cluster)
        ensure_network(cluster)
    else:
        check_ports(cluster)
        virtual.remove_leftovers(cluster)
    inventory.keep(cluster)
    write_ssh_config(cluster, folder_of("local"))


def strayed(cluster: Cluster) -> list[str]:
    """Virtual machines that run without the ports they are to publish: others were chosen, or a forwarding ended."""
    wanted: dict[str, set[tuple[str, int]]] = {}
    for host, port in published(cluster).values():
        wanted.setdefault(host, set()).add((cluster.bind, port))
    return [host for host, pairs in wanted.items() if not pairs <= virtual.forwarded(cluster, host)]


def boot(cluster: Cluster) -> None:
    """Bring all hosts up, and know their keys."""
    prepare(cluster)
    if shutil.which("vagrant") is None:
        raise Failure("vagrant is not installed; as root: apt-get install vagrant")
    env = {**VAGRANT_ENV, "PROVIDER": cluster.provider}
    if running(cluster) != set(cluster.hosts):
        with step(f"Booting {len(cluster.hosts)} hosts"):
            run(["vagrant", "up", f"--provider={cluster.provider}"], log="vagrant-up", cwd=ROOT, env=env)
    if cluster.provider != "docker" and (hosts := strayed(cluster)):
        with step(f"Restarting {' and '.join(hosts)} to publish the ports"):
            run(["vagrant", "reload", *hosts], log="vagrant-reload", cwd=ROOT, env=env)
    learn_host_keys(cluster, folder_of("local"))
    if cluster.provider != "docker" and not virtual.reachable(cluster):
        with step("Letting the cluster's key in"):
            run(["vagrant", "provision"], log="vagrant-provision", cwd=ROOT, env=env)


def destroy(cluster: Cluster) -> None:
    """Remove hosts and network; the images and the built releases stay."""
    with step("Removing the hosts"):
        if shutil.which("vagrant") and (ROOT / ".vagrant").is_dir():
            subprocess.run(
                ["vagrant", "destroy", "--force"], cwd=ROOT, capture_output=True, check=False,
                env={**os.environ, **VAGRANT_ENV, "PROVIDER": cluster.provider},
            )  # fmt: skip
        if cluster.provider != "docker":
            virtual.remove(cluster)
        if cluster.provider == "docker":
            for state in containers(cluster).values():
                subprocess.run(["docker", "rm", "--force", "--volumes", state["Id"]], capture_output=True, check=False)
            subprocess.run(["docker", "network", "rm", cluster.name], capture_output=True, check=False)
