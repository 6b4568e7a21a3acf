"""The cluster's containers: what each is made with, and which there are. Vagrant makes them, or the engine alone."""

import json
import subprocess
from pathlib import Path

from . import inventory
from .console import run
from .inventory import Cluster
from .paths import STATE
from .paths import inventory as folder_of

# What systemd needs in a container. Not --privileged: it fails where CAP_SYS_RESOURCE is not granted.
SYSTEMD = [
    "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--security-opt", "seccomp=unconfined",
    "--cgroupns=host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw",
    "--tmpfs", "/run", "--tmpfs", "/run/lock", "--stop-signal", "SIGRTMIN+3",
]  # fmt: skip
DEFINITION = STATE / "containers.json"  # {host: arguments}, for the Vagrantfile


def arguments(cluster: Cluster, host: str) -> list[str]:
    """The arguments of `docker create` for a host, but for its name, its ports and its image."""
    key = folder_of("local") / "ssh" / "id_ed25519.pub"
    network = ["--hostname", host, "--network", cluster.name, "--ip", cluster.hosts[host]]
    return [*network, *SYSTEMD, "--volume", f"{key}:/etc/ssh/authorized_keys.d/vagrant:ro"]


def write_definition(cluster: Cluster) -> None:
    partial = DEFINITION.with_suffix(".partial")
    partial.write_text(json.dumps({host: arguments(cluster, host) for host in cluster.hosts}, indent=1) + "\n")
    partial.replace(DEFINITION)


def found(cluster: Cluster) -> dict[str, dict]:
    """The cluster's containers on this machine as {host: docker inspect}."""
    names = [cluster.container(host) for host in cluster.hosts]
    text = subprocess.run(["docker", "container", "inspect", *names], capture_output=True, text=True).stdout
    by_name = {item["Name"].lstrip("/"): item for item in json.loads(text or "[]")}
    return {host: by_name[cluster.container(host)] for host in cluster.hosts if cluster.container(host) in by_name}


def bound_ports(state: dict) -> set[int]:
    """The ports that a container publishes."""
    return {int(binding["HostPort"]) for bindings in (state["HostConfig"]["PortBindings"] or {}).values() for binding in bindings}


def ports_of_others(cluster: Cluster) -> dict[int, tuple[str, str | None]]:
    """Ports that containers of others publish, running or not: {port: (container, the checkout it belongs to)}."""
    listed = subprocess.run(["docker", "container", "ls", "--all", "--quiet"], capture_output=True, text=True).stdout.split()
    if not listed:
        return {}
    text = subprocess.run(["docker", "container", "inspect", *listed], capture_output=True, text=True).stdout
    ours = {cluster.container(host) for host in cluster.hosts}
    found = {}
    for state in json.loads(text or "[]"):
        name = state["Name"].lstrip("/")
        if name not in ours:
            found |= dict.fromkeys(bound_ports(state), (name, checkout_of(state)))
    return found


def checkout_of(state: dict) -> str | None:
    """The folder whose cluster a container belongs to, if it is one of ours and the folder is still there."""
    key = "/ansible/inventories/local/ssh/id_ed25519.pub"
    for bind in state["HostConfig"]["Binds"] or []:
        folder, found, _ = bind.partition(f"{key}:")
        if found and Path(folder, "Makefile").is_file():
            return folder
    return None


def published(cluster: Cluster) -> dict[str, tuple[str, int]]:
    """Which host publishes which setting's port: {setting: (host, port)}."""
    groups = inventory.hosts_by_group(folder_of("local"))
    edge, load = next(iter(groups["nginx"])), next(iter(groups["locust"]))
    return {
        "HTTP_PORT": (edge, cluster.ports["HTTP_PORT"]),
        "HTTPS_PORT": (edge, cluster.ports["HTTPS_PORT"]),
        "LOCUST_PORT": (load, cluster.ports["LOCUST_PORT"]),
    }


def boot(cluster: Cluster, image: str) -> None:
    """Make and start the containers that do not run, without Vagrant."""
    there = found(cluster)
    for host in cluster.hosts:
        if host in there:
            command = ["start", cluster.container(host)]
        else:
            ports = [port for owner, port in published(cluster).values() if owner == host]
            published_ports = [word for port in ports for word in ("--publish", f"{cluster.bind}:{port}:{port}")]
            command = ["run", "--detach", "--name", cluster.container(host), *published_ports, *arguments(cluster, host), image]
        run(["docker", *command], log=f"docker-{host}")


def remove(identity: str) -> None:
    subprocess.run(["docker", "rm", "--force", "--volumes", identity], capture_output=True, check=False)


def known_to_vagrant(root: Path, host: str) -> str | None:
    """The id under which Vagrant remembers a host's container."""
    known = root / f".vagrant/machines/{host}/docker/id"
    return known.read_text().strip() if known.is_file() else None
