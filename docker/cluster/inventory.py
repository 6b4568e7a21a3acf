"""The local cluster's hosts, and the addresses, names and ports that this checkout chose for them."""

import hashlib
import ipaddress
import json
import os
import shutil
import subprocess
import xml.etree.ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .console import Failure, output
from .paths import ROOT, VENV, inventory
from .settings import PORT_SETTINGS, Settings

# Set aside for benchmarks (RFC 2544), so that it meets no office network. The first /24 is Docker's own bridge.
POOL = ipaddress.ip_network("198.18.0.0/15")
NETWORKS = [str(network) for network in POOL.subnets(new_prefix=24)][1:256]
HEADER = "# Generated for this checkout by `make`; `make destroy` removes it. Not in git.\n"


@dataclass(frozen=True)
class Cluster:
    """This checkout's own cluster: `name` is unique on the machine, `hosts` maps a host to its address."""

    name: str
    network: str
    provider: str
    bind: str
    ports: dict[str, int]
    hosts: dict[str, str]

    def container(self, host: str) -> str:
        return f"{self.name}-{host}"


ADDED = "hosts_added.yml"  # beside hosts.yml, read after it, of the same form: hosts of `make add-host` and of REDIS=ha


def read_added(folder: Path, group: str = "app") -> dict[str, int]:
    """The hosts that were added to a group, as {host: cluster_number}."""
    return {host: variables["cluster_number"] for host, variables in _added(folder).get(group, {}).items()}


def _added(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / ADDED
    if not path.is_file():
        return {}
    return {group: body["hosts"] for group, body in yaml.safe_load(path.read_text())["laurel"]["children"].items()}


def write_added(folder: Path, added: dict[str, int], group: str = "app") -> None:
    """Write down those of a group, or remove the file where there are none of any."""
    path = folder / ADDED
    groups = _added(folder) | {group: {host: {"cluster_number": number} for host, number in added.items()}}
    groups = {name: hosts for name, hosts in groups.items() if hosts}
    if not groups:
        path.unlink(missing_ok=True)
        return
    partial = path.with_suffix(".partial")
    partial.write_text(HEADER + yaml.safe_dump({"laurel": {"children": {name: {"hosts": hosts} for name, hosts in groups.items()}}}))
    partial.replace(path)


def hosts_by_group(folder: Path) -> dict[str, dict[str, Any]]:
    """hosts.yml as {group: {host: variables}}, and the hosts that were added."""
    try:
        document = yaml.safe_load((folder / "hosts.yml").read_text())
        groups = {group: body["hosts"] or {} for group, body in document["laurel"]["children"].items()}
        for group, hosts in _added(folder).items():
            groups[group] |= hosts
        return groups
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise Failure(f"{folder / 'hosts.yml'} is not an inventory of the form laurel: children: <group>: hosts: ({error})") from error


def cluster_numbers(folder: Path) -> dict[str, int]:
    numbers = {}
    for hosts in hosts_by_group(folder).values():
        for host, variables in hosts.items():
            if variables and "cluster_number" in variables:
                numbers[host] = int(variables["cluster_number"])
    return numbers


def checkout_name() -> str:
    """`laurel-` and six hex digits of this checkout's path: two checkouts are two clusters."""
    return "laurel-" + hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]


def virsh(*words: str) -> str | None:
    """What libvirt's system instance answers; None where it does not."""
    return output(["virsh", "--connect", "qemu:///system", *words]) if shutil.which("virsh") else None


def libvirt_networks() -> dict[str, str]:
    """libvirt's networks on this machine as {subnet: name}, also those that are switched off."""
    found = {}
    for name in (virsh("net-list", "--all", "--name") or "").split():
        for ip in xml.etree.ElementTree.fromstring(virsh("net-dumpxml", name) or "<network/>").findall("ip"):
            if ip.get("netmask"):
                found[str(ipaddress.ip_network(f"{ip.get('address')}/{ip.get('netmask')}", strict=False))] = name
    return found


def networks_in_use() -> dict[str, str]:
    """The networks of containers and of virtual machines on this machine as {subnet: name}."""
    return libvirt_networks() | docker_networks()


def docker_networks() -> dict[str, str]:
    """Docker's networks on this machine as {subnet: name}."""
    names = (output(["docker", "network", "ls", "--quiet"]) or "").split()
    if not names:
        return {}
    described = json.loads(output(["docker", "network", "inspect", *names]) or "[]")
    return {config.get("Subnet", ""): net["Name"] for net in described for config in net["IPAM"]["Config"] or []}


def choose_network(name: str) -> str:
    used = networks_in_use()
    for subnet, owner in used.items():
        if owner == name:
            return subnet
    start = int(hashlib.sha256(name.encode()).hexdigest(), 16) % len(NETWORKS)
    for network in NETWORKS[start:] + NETWORKS[:start]:
        if network not in used:
            return network
    raise Failure(f"each /24 in {POOL} is taken by another network; `docker network prune` frees unused ones")


def load(environment: str = "local") -> Cluster | None:
    """The cluster as written in addresses.yml; None before the first deploy, or in a copied checkout."""
    path = inventory(environment) / "addresses.yml"
    if not path.is_file():
        return None
    try:
        laurel = yaml.safe_load(path.read_text())["laurel"]
        values = laurel["vars"]
        cluster = Cluster(
            name=values["cluster_name"],
            network=values["cluster_network"],
            provider=values["cluster_provider"],
            bind=values["cluster_bind"],
            ports={name: values[f"cluster_{name.lower()}"] for name in PORT_SETTINGS},
            hosts={host: body["ansible_host"] for host, body in laurel["hosts"].items()},
        )
    except (yaml.YAMLError, KeyError, TypeError):
        return None  # cut short by a killed run: written anew
    return cluster if cluster.name == checkout_name() else None


def provider(settings: Settings) -> str:
    """What runs the hosts: as chosen when the cluster was made, and until it is removed."""
    before = load(settings.environment)
    if before is None:
        return settings.provider
    if settings.provider_asked and settings.provider != before.provider:
        raise Failure(
            f"this checkout's cluster runs on {before.provider}, not {settings.provider}; "
            f"remove it first: make destroy && make deploy PROVIDER={settings.provider}"
        )
    return before.provider


def choose(settings: Settings) -> Cluster:
    """Choose network, addresses and ports, or keep those chosen before. Writes nothing."""
    folder = inventory(settings.environment)
    before = load(settings.environment)
    name = checkout_name()
    network = before.network if before else choose_network(name)
    base = str(ipaddress.ip_network(network).network_address).rsplit(".", 1)[0]
    cluster = Cluster(
        name=name,
        network=network,
        provider=provider(settings),
        bind=settings.bind,
        ports={key: settings.ports.get(key) or (before.ports[key] if before else default) for key, default in PORT_SETTINGS.items()},
        hosts={host: f"{base}.{number}" for host, number in cluster_numbers(folder).items()},
    )
    if len(set(cluster.ports.values())) < len(cluster.ports):
        chosen = ", ".join(f"{key}={value}" for key, value in cluster.ports.items())
        raise Failure(f"two settings name the same port: {chosen}")
    return cluster


def keep(cluster: Cluster) -> Cluster:
    """Write down what was chosen, for Ansible, Vagrant and the next run."""
    write(cluster, inventory("local") / "addresses.yml")
    return cluster


def write(cluster: Cluster, path: Path) -> None:
    body = {
        "laurel": {
            "vars": {
                "cluster_name": cluster.name,
                "cluster_network": cluster.network,
                "cluster_provider": cluster.provider,
                "cluster_bind": cluster.bind,
                **{f"cluster_{key.lower()}": value for key, value in cluster.ports.items()},
                "ansible_user": "vagrant",
                "ansible_become": True,
                "ansible_ssh_common_args": f"-F {path.parent / 'ssh_config'}",
            },
            "hosts": {
                host: {"ansible_host": address, "cluster_container": cluster.container(host)} for host, address in cluster.hosts.items()
            },
        }
    }
    partial = path.with_suffix(".partial")
    partial.write_text(HEADER + yaml.safe_dump(body, sort_keys=False))
    partial.replace(path)


def ansible_environment() -> dict[str, str]:
    """Our ansible.cfg, wherever the command is run from."""
    return {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible" / "ansible.cfg"), "LC_ALL": "C.UTF-8"}


def variables(environment: str, host: str) -> dict[str, Any]:
    """A host's variables as Ansible merges them, untemplated."""
    command = [
        VENV / "bin" / "ansible-inventory", "--inventory", inventory(environment),
        "--playbook-dir", ROOT / "ansible", "--host", host,
    ]  # fmt: skip
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=ansible_environment())
    if done.returncode:
        raise Failure(f"the inventory {environment!r} cannot be read:\n{done.stderr.strip()}")
    return json.loads(done.stdout)
