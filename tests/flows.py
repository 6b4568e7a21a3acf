"""Who may connect to whom: ansible/group_vars/all/flows.yml with its ports worked out."""

from itertools import chain

import yaml
from jinja2.nativetypes import NativeEnvironment

from cluster.paths import ROOT

ANSIBLE = ROOT / "ansible"
DEEPEST = 5  # a template may stand in a template


def declared(**inventory):
    """Return the flows as [{from, to, ports, why}]; keywords are what an inventory sets, such as public_https_port.

    Redis has one host, unless `redis_hosts` are more.
    """
    values = {}
    for path in [ANSIBLE / "roles/locust/defaults/main.yml", *sorted((ANSIBLE / "group_vars/all").glob("*.yml"))]:
        values |= yaml.safe_load(path.read_text())
    values |= {"redis_hosts": ["192.0.2.1"], **inventory}
    jinja = NativeEnvironment()
    jinja.filters["flatten"] = lambda lists: list(chain.from_iterable(lists))

    def work_out(value, depth=0):
        if isinstance(value, str) and "{{" in value and depth < DEEPEST:
            return work_out(jinja.from_string(value).render(values), depth + 1)
        if isinstance(value, list):
            return [work_out(item, depth) for item in value]
        return value

    values["redis_sentinels"] = work_out(values["redis_sentinels"])
    for server in values["servers"].values():
        server["ports"] = work_out(server["ports"])
    return [{**flow, "ports": [int(port) for port in work_out(flow["ports"])]} for flow in values["flows"]]


def table():
    """The lines of a table for the docs, with the ports that hold where an inventory names no others."""
    lines = ["| from | to | ports | why |", "|---|---|---|---|"]
    for flow in declared(redis_hosts=["192.0.2.1", "192.0.2.2", "192.0.2.3"]):
        ends = ("everybody" if flow["from"] == "any" else flow["from"]), ("every host" if flow["to"] == "laurel" else flow["to"])
        lines.append(f"| {ends[0]} | {ends[1]} | {', '.join(map(str, flow['ports']))} | {flow['why']} |")
    return lines
