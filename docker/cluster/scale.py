"""The verbs that change how much there is: scale (processes on each app host), add-host and remove-host (app hosts), and REDIS=."""

import json
import os
import re
import time
from collections.abc import Callable

import yaml

from . import containers, inventory, machines, playbook, remote
from .console import Failure, output, say
from .paths import inventory as folder_of
from .settings import Settings

# Setting of the verb -> name in `scaled` -> the size that it stands for.
COUNTS = {"DAPHNE": ("daphne", "daphne_instances"), "UWSGI": ("uwsgi", "uwsgi_processes")}
HEADER = "# What `make scale` chose last. Not in git.\n"
# The hosts of REDIS=ha beside the one that is always there: three Sentinels can agree without one of them.
MORE_REDIS = ("redis2", "redis3")
HOST_NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")


def asked() -> dict[str, int]:
    """What DAPHNE= and UWSGI= ask for, as {daphne: 4, uwsgi: 8}. Raises Failure."""
    chosen = {}
    for setting, (name, _) in COUNTS.items():
        if value := os.environ.get(setting):
            if not value.isdigit() or not 1 <= int(value) <= 64:
                raise Failure(f"{setting} is {value!r}; expected a number from 1 to 64, as in: make scale DAPHNE=4 UWSGI=8")
            chosen[name] = int(value)
    return chosen


def scale(chosen: Settings, now: dict[str, bool]) -> None:
    """Run as many processes on every app host, and remember it. `now`: what the edge serves beside the topology."""
    folder = folder_of(chosen.environment)
    values = inventory.variables(chosen.environment, next(iter(inventory.hosts_by_group(folder)["app"])))
    before = {name: (values.get("scaled") or {}).get(name, values["sizes"][size]) for name, size in COUNTS.values()}
    wanted = asked()
    if not wanted:
        have = ", ".join(f"{count} {name}" for name, count in before.items())
        raise Failure(f"each app host runs {have}; say how many it shall be: make scale DAPHNE=4 UWSGI=8")
    path, started = folder / "group_vars/laurel/scale.yml", time.monotonic()
    former = path.read_text() if path.is_file() else None
    # Written first: what a killed run leaves half done, the next one and a deploy finish.
    path.write_text(HEADER + yaml.safe_dump({"scaled": before | wanted}))
    try:
        playbook.validate(chosen.environment)
    except Failure:
        path.unlink() if former is None else path.write_text(former)
        raise
    playbook.run("scale", chosen.environment, "--extra-vars", json.dumps(now))
    running = ", ".join(f"{count} {name}" for name, count in (before | wanted).items())
    say(f"Each app host runs {running}, after {time.monotonic() - started:.0f} s.")


def add_host(chosen: Settings, provision: Callable[[Settings], None]) -> None:
    """A new app host joins the running cluster. The local cluster makes it; elsewhere it stands in the inventory already."""
    host = os.environ.get("HOST", "")
    groups = inventory.hosts_by_group(folder_of(chosen.environment))
    if not HOST_NAME.fullmatch(host):
        raise Failure(f"HOST is {host!r}; expected a name of small letters, digits and dashes, as in: make add-host HOST=app3")
    known = {name for hosts in groups.values() for name in hosts}
    if host in known and host not in groups["app"]:
        raise Failure(f"{host} is a host already, and no app host; app hosts are: {', '.join(groups['app'])}")
    if chosen.local:
        if inventory.load() is None:
            raise Failure("there is no cluster yet; make one with: make deploy")
        if host not in known:
            added = inventory.read_added(folder_of("local"))
            numbers = set(inventory.cluster_numbers(folder_of("local")).values())
            first = min(inventory.cluster_numbers(folder_of("local"))[name] for name in groups["app"])
            added[host] = next(number for number in range(first, 255) if number not in numbers)
            inventory.write_added(folder_of("local"), added)
        machines.boot(inventory.choose(chosen))
    elif host not in known:
        raise Failure(f"{host} is not in the inventory {chosen.environment!r}; write it into its hosts.yml first: app: hosts: {host}:")
    provision(chosen)
    say(f"{host} serves: {', '.join(inventory.hosts_by_group(folder_of(chosen.environment))['app'])}.")


def choose_redis(chosen: Settings) -> None:
    """Write down the Redis hosts that REDIS= asks for; after a deploy, `remove_former_redis` removes those that are none any more."""
    if not chosen.redis:
        return
    if not chosen.local:
        raise Failure(
            f"REDIS= is for the local cluster; the inventory {chosen.environment!r} says it by the hosts of its group redis: one or three"
        )
    folder = folder_of("local")
    if chosen.redis == "ha":
        numbers = inventory.cluster_numbers(folder)
        taken, added = set(numbers.values()), {}
        for host in MORE_REDIS:
            added[host] = numbers.get(host) or next(number for number in range(32, 255) if number not in taken)
            taken.add(added[host])
        inventory.write_added(folder, added, "redis")
    elif inventory.provider(chosen) != "docker" and inventory.read_added(folder, "redis"):
        raise Failure("virtual machines are removed all at once: make destroy && make deploy")
    else:
        inventory.write_added(folder, {}, "redis")
    if inventory.load():  # a cluster that is there: its new hosts have addresses before anybody looks at the inventory
        inventory.keep(inventory.choose(chosen))


def remove_former_redis(cluster: inventory.Cluster | None) -> None:
    """Also those that an interrupted run left, and that no inventory knows."""
    if cluster is None or cluster.provider != "docker":
        return
    known = inventory.hosts_by_group(folder_of("local"))["redis"]
    for host in MORE_REDIS:
        if host not in known:
            containers.remove(cluster.container(host))


def remove_host(chosen: Settings, provision: Callable[[Settings], None], drain: Callable[[Settings, str], None]) -> None:
    """An app host of `make add-host` goes again: out of rotation, out of the inventory, removed; also where that was interrupted."""
    host = os.environ.get("HOST", "")
    added = inventory.read_added(folder_of("local")) if chosen.local else {}
    going = added_before(host) if chosen.local and host not in added else None
    if host not in added and going is None:
        expected = ", ".join(added) or "none, so that none can be removed"
        raise Failure(f"HOST is {host!r}; expected one that `make add-host` added to the local cluster: {expected}")
    cluster = inventory.load()
    if cluster is None:
        raise Failure("there is no cluster; make one with: make deploy")
    if host in added:
        drain(chosen, host)
        inventory.write_added(folder_of("local"), {name: number for name, number in added.items() if name != host})
        machines.prepare(inventory.choose(chosen))
    provision(chosen)
    # The mark outlives reloads and deploys: a host of that name that is added later would stay out.
    for edge in inventory.hosts_by_group(folder_of("local"))["nginx"]:
        remote.read(chosen.environment, edge, f"sudo rm -f /etc/laurel/rotation.out/{host}")
    containers.remove(cluster.container(host))
    say(f"{host} is gone; serving: {', '.join(inventory.hosts_by_group(folder_of('local'))['app'])}.")


def added_before(host: str) -> str | None:
    """The container of a host that is in no inventory any more: a removal of it was interrupted."""
    cluster = inventory.load()
    known = {name for hosts in inventory.hosts_by_group(folder_of("local")).values() for name in hosts}
    if cluster is None or host in known or not HOST_NAME.fullmatch(host):
        return None
    return output(["docker", "container", "inspect", "--format", "{{.Id}}", cluster.container(host)])
