"""Virtual machines as hosts: the hypervisor under PROVIDER=libvirt or virtualbox, and what it has of a cluster."""

import ipaddress
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .console import Failure, output, say, step
from .engine import systemd_runs
from .inventory import POOL, Cluster, virsh
from .paths import ROOT, STATE
from .paths import inventory as folder_of

KVM = Path("/dev/kvm")
VIRTUALBOX_NETWORKS = Path("/etc/vbox/networks.conf")
COMMANDS = {"libvirt": "virsh", "virtualbox": "VBoxManage"}


def installed(provider: str) -> bool:
    return shutil.which(COMMANDS[provider]) is not None


def libvirt_answers() -> bool:
    return bool(virsh("version"))


def has_plugin() -> bool:
    return "vagrant-libvirt" in (output(["vagrant", "plugin", "list"]) or "")


def virtualbox_allows(network: ipaddress.IPv4Network) -> bool:
    """Whether VirtualBox may make a host-only network there: unless told otherwise, only in 192.168.56.0/21."""
    if not VIRTUALBOX_NETWORKS.is_file():
        return False
    lines = [line.split() for line in VIRTUALBOX_NETWORKS.read_text().splitlines()]
    allowed = [word for words in lines if words[:1] == ["*"] for word in words[1:] if ":" not in word]
    return any(network.subnet_of(ipaddress.ip_network(word)) for word in allowed)


def problem(provider: str) -> str | None:
    """What is in the way of virtual machines and what mends it, in one line; None where nothing is."""
    if not installed(provider):
        if provider == "virtualbox":
            return "VirtualBox is not installed (no VBoxManage): install it from its vendor, or choose PROVIDER=libvirt"
        return "libvirt is not installed: as root: apt-get install libvirt-daemon-system qemu-system-x86 vagrant-libvirt"
    if provider == "virtualbox":
        if not virtualbox_allows(POOL):
            return f"VirtualBox allows no network in {POOL}: as root: mkdir -p /etc/vbox && echo '* {POOL}' >> {VIRTUALBOX_NETWORKS}"
        return None
    if not KVM.exists():
        return f"there is no {KVM}: switch virtualisation on in the firmware, or choose PROVIDER=docker"
    if KVM.stat().st_mode & 0o060 != 0o060:  # where no udev runs
        return f"{KVM} is closed to libvirt's user: as root: chgrp kvm {KVM} && chmod 660 {KVM}"
    if not libvirt_answers():
        user = os.environ.get("USER", "YOU")
        return f"libvirt does not answer: as root: systemctl start libvirtd && usermod -aG libvirt {user} (then log in again)"
    if not has_plugin():
        return "Vagrant lacks its plugin for libvirt: as root: apt-get install vagrant-libvirt, or: vagrant plugin install vagrant-libvirt"
    return None


def ensure(provider: str) -> None:
    """Return with a hypervisor that answers, or raise Failure with what to do."""
    if provider == "libvirt" and installed(provider) and os.geteuid() == 0 and not libvirt_answers():
        with step("Starting libvirt"):
            start_libvirt()
    wrong = problem(provider)
    if wrong:
        raise Failure(wrong)


def start_libvirt() -> None:
    if systemd_runs():
        subprocess.run(["systemctl", "start", "libvirtd"], capture_output=True, check=False)
        return
    for daemon in ("virtlogd", "libvirtd"):
        subprocess.run([daemon, "--daemon"], stdin=subprocess.DEVNULL, capture_output=True, cwd="/", check=False)


def names(provider: str, *, running: bool) -> set[str]:
    """Names of this machine's virtual machines, all or those that run."""
    if not installed(provider):
        return set()
    if provider == "libvirt":
        return set((virsh("list", "--name", *([] if running else ["--all"])) or "").split())
    listed = output(["VBoxManage", "list", "runningvms" if running else "vms"]) or ""
    return {line.split('"')[1] for line in listed.splitlines() if line.startswith('"')}


def running(cluster: Cluster) -> set[str]:
    up = names(cluster.provider, running=True)
    return {host for host in cluster.hosts if cluster.container(host) in up}


def described(name: str) -> list[str]:
    """What VirtualBox says of a machine, as lines of KEY="VALUE"."""
    return (output(["VBoxManage", "showvminfo", name, "--machinereadable"]) or "").splitlines()


def identity(cluster: Cluster, host: str) -> str | None:
    """A machine's id as Vagrant notes it."""
    name = cluster.container(host)
    if cluster.provider == "libvirt":
        return virsh("domuuid", name)
    return next((line.split('"')[1] for line in described(name) if line.startswith("UUID=")), None)


def folder(cluster: Cluster, host: str) -> Path:
    """What Vagrant notes of a machine."""
    return ROOT / f".vagrant/machines/{host}/{cluster.provider}"


def forwarded(cluster: Cluster, host: str) -> set[tuple[str, int]]:
    """The addresses and ports of this machine that lead to a host now."""
    if cluster.provider == "virtualbox":
        if host not in running(cluster):
            return set()
        # Forwarding(0)="tcp8443,tcp,127.0.0.1,8443,,8443"
        rules = [line.split('"')[1].split(",") for line in described(cluster.container(host)) if line.startswith("Forwarding(")]
        return {(rule[2], int(rule[3])) for rule in rules}
    found = set()
    # Vagrant forwards with an `ssh -L 127.0.0.1:8443:ADDRESS:8443` of its own for each port.
    for note in (folder(cluster, host) / "pids").glob("ssh_*.pid"):
        try:
            words = Path(f"/proc/{int(note.read_text())}/cmdline").read_text().split("\0")
        except (OSError, ValueError):
            continue
        if "-L" in words:
            bind, port, *_ = words[words.index("-L") + 1].split(":")
            found.add((bind, int(port)))
    return found


def reachable(cluster: Cluster) -> bool:
    """Whether every host answers with the key we know, and lets our key in."""
    config = folder_of("local") / "ssh_config"
    strict = ["ssh", "-F", config, "-o", "ControlPath=none", "-o", "BatchMode=yes"]
    with ThreadPoolExecutor(len(cluster.hosts)) as pool:
        return all(pool.map(lambda host: output([*strict, host, "true"]) is not None, cluster.hosts))


def host_keys(cluster: Cluster) -> dict[str, str]:
    """The hosts' SSH keys, read on Vagrant's own way in."""
    config = STATE / "vagrant-ssh-config"
    environment = {**os.environ, "LAUREL_BOOT_ONLY": "1", "PROVIDER": cluster.provider}
    with config.open("w") as out:
        subprocess.run(["vagrant", "ssh-config"], cwd=ROOT, env=environment, stdout=out, stderr=subprocess.DEVNULL, check=False)
    return {host: output(["ssh", "-F", config, host, "cat /etc/ssh/ssh_host_ed25519_key.pub"]) or "" for host in cluster.hosts}


def remove_machine(cluster: Cluster, host: str) -> None:
    """Remove a virtual machine with its disk, and what Vagrant notes of it."""
    name = cluster.container(host)
    if cluster.provider == "libvirt":
        virsh("destroy", name)
        virsh("undefine", name, "--remove-all-storage")
    else:
        output(["VBoxManage", "controlvm", name, "poweroff"])
        output(["VBoxManage", "unregistervm", name, "--delete"])
    shutil.rmtree(folder(cluster, host), ignore_errors=True)


def remove_leftovers(cluster: Cluster) -> None:
    """Remove machines that Vagrant no longer knows, or that a killed run left half made."""
    existing = names(cluster.provider, running=False)
    for host in cluster.hosts:
        notes = folder(cluster, host)
        if cluster.container(host) not in existing:
            shutil.rmtree(notes, ignore_errors=True)
            continue
        # The second note is written when a machine has its addresses and is about to be provisioned.
        complete = (notes / "id").is_file() and (notes / "action_provision").is_file()
        if not complete or (notes / "id").read_text().strip() != identity(cluster, host):
            say(f"  Replacing {cluster.container(host)}: it is left over from another run")
            remove_machine(cluster, host)


def remove(cluster: Cluster) -> None:
    """Remove what `vagrant destroy` left: machines and networks that it does not know."""
    for host in cluster.hosts:
        if cluster.container(host) in names(cluster.provider, running=False):
            remove_machine(cluster, host)
    # Vagrant uses VirtualBox's networks again.
    if cluster.provider == "libvirt":
        for network in {cluster.name, f"{cluster.name}-nat"} & set((virsh("net-list", "--all", "--name") or "").split()):
            virsh("net-destroy", network)
            virsh("net-undefine", network)
