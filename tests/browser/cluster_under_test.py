"""The cluster that the pages are tested on: its address, its topology, its users."""

import functools
import json
import os
import subprocess
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHECKOUT = Path(os.environ.get("LAUREL_CHECKOUT") or ROOT)
INVENTORY = CHECKOUT / "ansible" / "inventories" / "local"
ARTIFACTS = ROOT / ".laurel" / "artifacts" / "browser"
SERVED_FIRST = "mixed"
PATIENCE = 900  # seconds that another verb may take
TRANSPORTS = ("websocket", "sse", "longpoll", "poll", "iframe")


def read(path):
    return yaml.safe_load(path.read_text())


TOPOLOGIES = read(CHECKOUT / "ansible/group_vars/all/topologies.yml")["topologies"]
# The one that the pages are tested on as well comes first.
ORDER = sorted(TOPOLOGIES, key=lambda name: name != SERVED_FIRST)
CARRIED = [
    (topology, transport)
    for topology in ORDER
    for transport in TRANSPORTS
    if transport != "websocket" or TOPOLOGIES[topology]["websocket"] != "none"
]


@functools.cache
def edge():
    """The address of the edge, as the cluster's hosts see it."""
    addresses = read(INVENTORY / "addresses.yml")["laurel"]
    return f"https://{addresses['hosts']['edge']['ansible_host']}:{addresses['vars']['cluster_https_port']}"


def serve(topology):
    """Switch to a topology, unless it is served already."""
    if json.loads(make("status", "FORMAT=json"))["topology"] != topology:
        make("topology", f"TOPOLOGY={topology}")


def make(*words):
    deadline = time.monotonic() + PATIENCE
    while True:
        done = subprocess.run(["make", "--silent", "-C", CHECKOUT, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode == 0:
            return done.stdout
        # Two verbs do not change one environment at a time.
        if "is being changed" not in done.stderr or time.monotonic() > deadline:
            raise AssertionError(f"make {' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        time.sleep(5)


def on_host(host, command):
    done = subprocess.run(["ssh", "-F", INVENTORY / "ssh_config", host, command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{host}: {command}: {done.stdout}{done.stderr}"
    return done.stdout


@functools.cache
def sessions(count=6):
    """Fresh sessions of demo users, as [(name, cookie's name, cookie's value)]."""
    said = json.loads(on_host("app1", f"sudo app-manage demo_users --count {count} --sessions"))
    return [(entry["user"], said["cookie"], entry["session"]) for entry in said["sessions"]]
