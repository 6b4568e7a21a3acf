"""`make status`: hosts, units, topology, release, health, as a table or as JSON."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import edge, inventory, remote
from .console import Failure, say
from .paths import inventory as folder_of

FORMATS = ("text", "json")
# Units per group that are the stack's own; the application servers' units come with the topology.
UNITS = {
    "nginx": ["nginx.service"],
    "app": ["uwsgi.service", "daphne@*.service", "mqtt.service", "worker-*.service"],
    "postgresql": ["postgresql@*.service"],
    "redis": ["redis-server.service", "redis-sentinel.service"],
    "mosquitto": ["mosquitto.service"],
    "locust": ["locust.service"],
    "monitoring": ["prometheus.service"],
}
SCRIPT = """
echo release $(readlink /srv/app/current 2>/dev/null | xargs -r basename)
echo topology $(cat /etc/laurel/topology 2>/dev/null)
systemctl list-units --all --no-legend --plain {units} | while read -r unit load active sub rest; do echo unit $unit $active; done
"""


def host_status(environment: str, host: str, units: list[str]) -> dict[str, Any]:
    text = remote.read(environment, host, SCRIPT.format(units=" ".join(f"'{unit}'" for unit in units)))
    if text is None:
        return {"reachable": False, "release": None, "topology": None, "units": {}}
    result: dict[str, Any] = {"reachable": True, "release": None, "topology": None, "units": {}}
    for line in text.splitlines():
        words = line.split()
        if words[0] == "unit":
            result["units"][words[1].removesuffix(".service")] = words[2]
        elif len(words) > 1:
            result[words[0]] = " ".join(words[1:])
    return result


def collect(environment: str) -> dict[str, Any]:
    """Everything `make status` shows, as data."""
    groups = inventory.hosts_by_group(folder_of(environment))
    units: dict[str, list[str]] = {}
    for group, hosts in groups.items():
        for host in hosts:
            units.setdefault(host, []).extend(UNITS.get(group, []))
    with ThreadPoolExecutor(len(units)) as pool:
        found = dict(zip(units, pool.map(lambda host: host_status(environment, host, units[host]), units), strict=True))
    values = inventory.variables(environment, next(iter(groups["app"])))
    paths = {"health": values["application_health_path"], "ready": values["application_ready_path"]}
    host, port = edge.address(environment)
    edge_host = next(iter(groups["nginx"]))
    app_releases = {found[name]["release"] for name in groups["app"] if found[name]["release"]}
    return {
        "environment": environment,
        "url": f"https://{host}:{port}/",
        "topology": found[edge_host]["topology"],
        "release": next(iter(app_releases)) if len(app_releases) == 1 else sorted(app_releases) or None,
        "health": edge.health(environment, paths),
        "hosts": found,
    }


def healthy(status: dict[str, Any]) -> bool:
    return all(said == "200" for said in status["health"].values()) and all(host["reachable"] for host in status["hosts"].values())


def show(environment: str, form: str) -> int:
    """Print the status; 0 where everything answers, 1 where something does not."""
    if form not in FORMATS:
        raise Failure(f"FORMAT is {form!r}; expected one of {', '.join(FORMATS)}")
    if environment == "local" and inventory.load() is None:
        raise Failure("there is no cluster yet; make one with: make deploy")
    status = collect(environment)
    if form == "json":
        say(json.dumps(status, indent=2))
        return 0 if healthy(status) else 1
    say(f"environment  {status['environment']}")
    say(f"address      {status['url']}")
    say(f"topology     {status['topology'] or 'unknown'}")
    say(f"release      {status['release'] or 'none'}")
    for name, said in status["health"].items():
        say(f"{name:<12} {said}")
    say()
    for host, about in status["hosts"].items():
        state = "up" if about["reachable"] else "does not answer"
        units = "  ".join(f"{unit} {active}" for unit, active in sorted(about["units"].items()))
        say(f"{host:<8} {state:<16} {units}".rstrip())
    return 0 if healthy(status) else 1
