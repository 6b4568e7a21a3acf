"""Every pair of hosts × every port that is declared or listened on anywhere, and some that are neither: what is not declared is dropped."""

import random
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import pytest

from cluster import inventory
from flows import declared

SECONDS = 2
# In lots: so many probes at once, or the host's own sshd suffers.
PROBE = """
probe() {{ timeout {seconds} bash -c "</dev/tcp/$1/$2" 2> /dev/null; echo "$1 $2 $?"; }}
export -f probe
printf '%s\\n' {targets} | xargs -P 64 -L 1 bash -c 'probe $(echo $0 | tr : " ")'
"""
DROPPED = 124  # timeout's own code; 0: open, 1: the host answers that nobody listens, so the packet came in
SOME_OTHERS = 20


@pytest.fixture(scope="module")
def ports(deployed):
    """Declared ones, those that any host listens on beyond loopback, and a few of all the others."""
    found = {port for flow in flows_of(deployed) for port in flow["ports"]}
    for host in deployed.addresses["hosts"]:
        listening = deployed.on(host, "ss -Hltn")[1]
        found |= {int(port) for port in re.findall(r"^\S+\s+\d+\s+\d+\s+(?!127\.|\[::1\])\S+:(\d+)", listening, re.MULTILINE)}
    return sorted(found | set(random.Random(1).sample(range(1, 65536), SOME_OTHERS)))


def flows_of(deployed):
    chosen = deployed.addresses["vars"]
    names = {"public_http_port": "http", "public_https_port": "https", "locust_port": "locust"}
    return declared(**{name: chosen[f"cluster_{short}_port"] for name, short in names.items()})


def allowed(deployed):
    """Every (source, target, port) that flows.yml declares."""
    groups = {group: set(hosts) for group, hosts in inventory.hosts_by_group(deployed.inventory).items()}
    everybody = set(deployed.addresses["hosts"])
    groups |= {"laurel": everybody, "any": everybody}
    return {
        (source, target, port)
        for flow in flows_of(deployed)
        for source in groups[flow["from"]]
        for target in groups[flow["to"]]
        for port in flow["ports"]
        if source != target
    }


@pytest.fixture(scope="module")
def reached(deployed, ports):
    """Every (source, target, port) that a packet got through to, and the number of probes."""
    hosts = list(deployed.addresses["hosts"])
    names = {deployed.address(host): host for host in hosts}

    def look(source):
        targets = " ".join(f"{deployed.address(target)}:{port}" for target in hosts if target != source for port in ports)
        said = deployed.on(source, f"bash -s <<'END'\n{PROBE.format(seconds=SECONDS, targets=targets)}\nEND")[1]
        return [
            (source, names[address], int(port), int(code))
            for address, port, code in re.findall(r"^([\d.]+) (\d+) (\d+)$", said, re.MULTILINE)
        ]

    with ThreadPoolExecutor(2) as pool:
        results = [result for found in pool.map(look, hosts) for result in found]
    assert len(results) == len(list(permutations(hosts, 2))) * len(ports)
    return {(source, target, port) for source, target, port, code in results if code != DROPPED}


def test_what_is_not_declared_is_dropped(deployed, reached):
    assert sorted(reached - allowed(deployed)) == []


def test_what_is_declared_comes_in(deployed, reached):
    assert sorted(allowed(deployed) - reached) == []
