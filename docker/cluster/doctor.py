"""`make doctor`: is this machine fit for the verbs, and if not, what mends it?"""

import os
import resource
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from . import engine, image, inventory, machines, vault, virtual
from .console import Failure, output, say
from .paths import ROOT
from .settings import Settings

MEMORY_GIB = {"docker": 4, "libvirt": 7, "virtualbox": 7}
DISK_GIB = 10
OPEN_FILES = 16384
INOTIFY_INSTANCES = 512  # six clusters of containers used up the kernel's usual 128


@dataclass(frozen=True)
class Finding:
    level: str  # ok, warn, or fail
    what: str
    remedy: str = ""


def python() -> Finding:
    return Finding("ok", f"Python {sys.version.split()[0]}")


def docker_engine() -> Finding:
    if engine.answers():
        return Finding("ok", f"Docker engine {output(['docker', 'info', '--format', '{{.ServerVersion}}'])}")
    if shutil.which("dockerd"):
        how = "`make deploy` starts it" if os.geteuid() == 0 else "as root: systemctl start docker"
        return Finding("warn", "a Docker engine is installed and does not answer", how)
    return Finding("fail", "no Docker engine", "`make deploy` as root installs it, or: apt-get install docker.io")


def vagrant(provider: str) -> Finding:
    version = output(["vagrant", "--version"])
    if version:
        return Finding("ok", version)
    if provider == "docker":
        return Finding("warn", "no Vagrant; `make deploy` boots containers without it", "apt-get install vagrant")
    return Finding("fail", "no Vagrant", "apt-get install vagrant")


def base_image() -> Finding:
    if not engine.answers():
        return Finding("warn", "images: unknown without an engine")
    if image.exists(image.node_tag()):
        return Finding("ok", "the node image is built")
    if shutil.which("mmdebstrap") and os.geteuid() == 0:
        return Finding("ok", "the node image can be made from Debian's archive or a registry")
    return Finding("warn", "the node image needs a registry that answers", "as root: apt-get install mmdebstrap")


def memory(provider: str) -> Finding:
    enough = MEMORY_GIB[provider]
    kib = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
    gib = kib / 2**20
    if gib >= enough:
        return Finding("ok", f"{gib:.0f} GiB of memory available")
    return Finding("warn", f"{gib:.1f} GiB of memory available, {enough} are comfortable", "close something large")


def disk() -> Finding:
    gib = shutil.disk_usage(ROOT).free / 2**30
    if gib >= DISK_GIB:
        return Finding("ok", f"{gib:.0f} GiB of disk free")
    return Finding("fail", f"{gib:.1f} GiB of disk free, {DISK_GIB} are needed", "docker system prune, or `make clean`")


def cpus() -> Finding:
    count = len(os.sched_getaffinity(0))
    if count >= 2:
        return Finding("ok", f"{count} CPUs")
    return Finding("warn", "1 CPU: a bench cannot keep generator and servers apart", "use a machine with two or more")


def open_files() -> Finding:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or hard >= OPEN_FILES:
        return Finding("ok", f"up to {hard} open files a process")
    return Finding("warn", f"up to {hard} open files a process, {OPEN_FILES} are used", "raise the hard limit (ulimit -Hn)")


def watches() -> Finding:
    """Each container's systemd takes some of the kernel's inotify instances; without one a host does not boot."""
    most = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    if most >= INOTIFY_INSTANCES:
        return Finding("ok", f"up to {most} inotify instances a user")
    remedy = f"as root: sysctl fs.inotify.max_user_instances={INOTIFY_INSTANCES}"
    return Finding("warn", f"up to {most} inotify instances a user: enough for one cluster, hardly for several", remedy)


def ports(settings: Settings) -> Finding:
    if settings.provider == "docker" and not engine.answers():
        return Finding("warn", "ports: unknown without an engine")
    try:
        machines.check_ports(inventory.choose(settings))
    except Failure as failure:
        return Finding("fail", str(failure))
    return Finding("ok", "the ports to publish are free, or this cluster's own")


def hypervisor(provider: str) -> Finding:
    wrong = virtual.problem(provider)
    return Finding("fail", wrong) if wrong else Finding("ok", f"{provider} answers")


def box() -> Finding:
    name = os.environ.get("BOX") or "debian/bookworm64"
    if any(line.split()[:1] == [name] for line in (output(["vagrant", "box", "list"]) or "").splitlines()):
        return Finding("ok", f"the box {name} is here")
    return Finding("warn", f"the box {name} is not here: Vagrant downloads it", "or name one that is: BOX=, see `vagrant box list`")


def closed(environment: str) -> Finding:
    try:
        vault.unlock(environment)
    except Failure as failure:
        return Finding("fail", str(failure))
    return Finding("ok", "what opens the inventory is given" if vault.encrypted(environment) else "the inventory is open")


def run(settings: Settings) -> int:
    """Print a line per finding with its remedy; 1 where something fails."""
    provider = settings.provider if settings.provider_asked else inventory.provider(settings)
    settings = replace(settings, provider=provider)
    checks: list[Callable[[], Finding]] = [python, cpus, lambda: memory(provider), disk, open_files, lambda: closed(settings.environment)]
    if settings.local:
        # Virtual machines want an engine too: releases are built in a container.
        checks += [lambda: vagrant(provider), docker_engine, base_image]
        checks += [watches] if provider == "docker" else [lambda: hypervisor(provider), box]
        checks += [lambda: ports(settings)]
    findings = [check() for check in checks]
    for finding in findings:
        say(f"  {finding.level:<5} {finding.what}" + (f": {finding.remedy}" if finding.remedy else ""))
    return 1 if any(finding.level == "fail" for finding in findings) else 0
