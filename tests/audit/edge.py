"""Judges of the edge from outside, on the addresses that clients use."""

import json
import re
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from cluster import inventory
from cluster.console import Failure
from cluster.paths import inventory as folder_of

from .hosts import ENVIRONMENT
from .scores import JUDGES, Finding, Score, counted
from .tools import debian, environment, said

CONNECTIONS = 500
SECONDS = 20  # of each slow attack
ATTACKS = {
    "slow headers": ["-H"],
    "slow body": ["-B", "-t", "POST"],
    "slow read": ["-X", "-w", "10", "-y", "20"],
    "slow handshakes": ["-H"],
}


def edge() -> tuple[str, Path]:
    """`host:port` of the local cluster's edge, and its CA."""
    cluster = inventory.load(ENVIRONMENT)
    if cluster is None:
        raise Failure("these judges load the edge, so they aim at the local cluster only, and there is none; deploy first: make deploy")
    return f"localhost:{cluster.ports['HTTPS_PORT']}", folder_of(ENVIRONMENT) / "pki/ca.crt"


def sslyze() -> list[Score]:
    address, authority = edge()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        text = said(
            [environment() / "sslyze", "--mozilla_config=intermediate", "--certinfo_ca_file", authority, "--json_out", out, address],
            codes=(0, 1),
        )
        if json.loads(out.read_text())["server_scan_results"][0]["connectivity_status"] != "COMPLETED":
            raise Failure(f"sslyze could not connect to {address}")
    verdict = text.partition("COMPLIANCE AGAINST TLS CONFIGURATION")[2]
    lines = [line.strip()[2:] for line in verdict.splitlines() if line.strip().startswith("* ")]
    found = [Finding(name, address, text) for name, _, text in (line.partition(": ") for line in lines)]
    if not found and "OK - Compliant" not in verdict:
        raise Failure(f"sslyze gave no verdict:\n{verdict[-500:]}")
    return [counted("sslyze", "edge", found)]


def testssl() -> list[Score]:
    address, authority = edge()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [debian("testssl"), "--quiet", "--color", "0", "--add-ca", authority, "--severity", "LOW", "--jsonfile", out, address]
        said(command, codes=tuple(range(50)), seconds=600)
        items = json.loads(out.read_text())
    bad = [item for item in items if item["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL")]
    found = [Finding(item["id"], address, f"{item['severity']}: {item['finding']}") for item in bad]
    return [counted("testssl", "edge", found)]


class Visitor(threading.Thread):
    """Asks for a page twice a second, and knows how long nobody answered."""

    def __init__(self, address: str, authority: Path):
        super().__init__(daemon=True)
        self.url, self.trust = f"https://{address}/healthz", ssl.create_default_context(cafile=authority)
        self.over, self.asked, self.silent = threading.Event(), 0, 0.0

    def run(self) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.trust))
        while not self.over.wait(0.5):
            started = time.monotonic()
            self.asked += 1
            try:
                with opener.open(self.url, timeout=5) as answer:
                    ok = answer.status == 200
            except OSError:
                ok = False
            if not ok:
                self.silent += max(0.5, time.monotonic() - started)


def connections(said: str) -> int:
    """How many connections slowhttptest opened, by its own reports: those that stood, and those that were closed."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    return sum(max(map(int, re.findall(rf"{word}:\s+(\d+)", plain)), default=0) for word in ("connected", "closed"))


def slowhttptest() -> list[Score]:
    address, authority = edge()
    program, scores = debian("slowhttptest"), []
    for name, options in ATTACKS.items():
        path = "/ws/notifications/" if name == "slow handshakes" else "/"
        visitor = Visitor(address, authority)
        visitor.start()
        command = f"-c {CONNECTIONS} -r 200 -i 5 -l {SECONDS} -x 24 -p 3 -u https://{address}{path}".split()
        done = subprocess.run(
            [program, *options, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS + 60,
        )
        visitor.over.set()
        visitor.join(10)
        opened = connections(done.stdout.decode(errors="replace"))
        if opened < CONNECTIONS:
            raise Failure(f"slowhttptest ({name}) opened {opened} connections; expected {CONNECTIONS}")
        if visitor.asked < SECONDS:
            raise Failure(f"slowhttptest ({name}) ended too early to judge: only {visitor.asked} pages were asked for in its time")
        scores.append(Score("slowhttptest", name, round(visitor.silent, 1), at_most=JUDGES["slowhttptest"]["at_most"]))
    return scores
