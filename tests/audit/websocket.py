"""Autobahn's cases (kosoku) over an endpoint that echoes and exists only here: the hosts' nginx and the Daphne launcher."""

import json
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import yaml

from cluster import testbed
from cluster.console import Failure, step
from cluster.paths import ROOT

from .nginx import rendered
from .scores import Finding, Score, counted
from .tools import environment, said

# 9 measures speed, 12 and 13 compression, which is not offered.
CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
FEWEST = 240  # these are 247; many fewer means that they did not run
PASSED = ("OK", "NON-STRICT", "INFORMATIONAL")
WAIT_SECONDS = 20


def served() -> tuple[str, str]:
    """Start the echo endpoint in a container: its name, and the address where kosoku finds it."""
    tag, venv = testbed.environment()
    sizes = yaml.safe_load((ROOT / "ansible/group_vars/all/sizes.yml").read_text())["sizes"]
    snippets = rendered() / "mixed/edge/etc/laurel/nginx/snippets"
    command = testbed.container(tag, "bridge", "/source/tests/audit/echo-server", venv, "/snippets", str(sizes["websocket_message_bytes"]))
    command[2:2] = ["--detach", "--publish", "127.0.0.1::8000", "--volume", f"{snippets}:/snippets:ro"]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    published = subprocess.run(["docker", "port", name, "8000/tcp"], capture_output=True, text=True, check=True).stdout
    return name, published.split()[0]


def wait(address: str) -> None:
    """Until a WebSocket opens: nginx answers before Daphne does."""
    host, port = address.split(":")
    deadline = time.monotonic() + WAIT_SECONDS
    hello = f"GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((host, int(port)), timeout=5) as plain:
                plain.sendall(hello.encode() + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
                if plain.recv(4096).startswith(b"HTTP/1.1 101"):
                    return
        except OSError:
            pass
        time.sleep(0.5)
    raise Failure(f"the echo endpoint on {address} accepts no WebSocket after {WAIT_SECONDS} s")


def kosoku() -> list[Score]:
    program = environment() / "kosoku"
    name, address = served()
    try:
        wait(address)
        with tempfile.TemporaryDirectory() as folder, step("Running Autobahn's cases"):
            includes = [word for case in CASES for word in ("--include", case)]
            said([program, "--mode", "fuzzingclient", *includes, "--outdir", folder, address], codes=(0, 1))
            (results,) = json.loads(next(Path(folder).rglob("index.json")).read_text()).values()
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True)
    if len(results) < FEWEST:
        raise Failure(f"kosoku ran {len(results)} cases; expected at least {FEWEST}")
    found = []
    for case, result in results.items():
        for part in ("behavior", "behaviorClose"):
            if result[part] not in PASSED:
                found.append(Finding(case, part, result[part]))
    loose = [case for case, result in results.items() if result["behavior"] == "NON-STRICT"]
    return [
        counted("kosoku", "failed cases", found),
        Score("kosoku", "non-strict cases", len(loose), at_most=10, findings=loose),
    ]
