"""The lab on this machine: real Locust, small servers of our own, and the CPU time that these report.

As a program it runs a bench into a folder, so that a test can kill it:

    python local.py FOLDER LOOPS ROUNDS [resume]
"""

import contextlib
import io
import itertools
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[4]))

from loadtests.lab import results, run
from loadtests.lab.plan import GATE_FILE, Plan, parse_plan
from loadtests.lab.progress import Progress
from loadtests.lab.reading import read_yaml
from loadtests.lab.trial import RESULT_FILE, SESSIONS_FILE, Setting, Slot
from loadtests.lab.world import make_world

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]


def plan_of(names: list[str], scenario: dict[str, Any], name: str = "pages") -> Plan:
    """A plan of one scenario that compares the servers named; the first is the baseline."""
    world = make_world({"topologies": {n: {"http": f"server-{n}", "websocket": "none"} for n in names}, "side_by_side_domain": "test"})
    declared = {
        "question": "Which one?",
        "compare": {"baseline": names[0], "candidates": {n: {"topology": n} for n in names}},
        **scenario,
    }
    gate = read_yaml(GATE_FILE)
    data = {"name": "check", "question": "Does the lab see it?", "minutes": 60, "gate": gate, "scenarios": {name: declared}}
    return parse_plan(data, world, "check")


class Server:
    """A program that prints its port, and its CPU seconds when asked."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen([sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.port = int(self.process.stdout.readline())

    def cpu_seconds(self) -> float:
        self.process.stdin.write("\n")
        return float(self.process.stdout.readline())

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Silent(Server):
    """A server that does not tell its CPU time."""

    def cpu_seconds(self) -> float:
        return time.monotonic() / 100


class LocalHosts:
    """Stands where `hosts.Hosts` stands. Servers by the name of their candidate."""

    shared_machine = True
    environment = "check"

    def __init__(self, servers: dict[str, Server], folder: Path) -> None:
        self.servers, self.folder = servers, folder
        self.load: subprocess.Popen[str] | None = None

    # What a run prepares: nothing has to be.
    def clean_load(self) -> None: ...
    def unpin(self) -> None: ...
    def rig(self, on: bool) -> None: ...
    def side_by_side(self, on: bool) -> None: ...

    def put_on_load(self, path: str, text: str) -> None: ...

    def make_sessions(self, count: int) -> str:
        return ""

    def pause_web_ui(self) -> bool:
        return False

    def pin(self) -> dict[str, Any]:
        return {"pinned": False, "reason": "servers and load are processes of this machine"}

    def serving_cpus(self) -> int:
        return 2

    def mqtt(self) -> None:
        return None

    def https_port(self) -> int:
        return 443

    def status_of(self, url: str) -> str:
        return "200"

    # What a trial does.
    def start_samplers(self) -> "LocalHosts":
        return self

    def mark(self) -> dict[str, dict[str, Any]]:
        used = {f"server-{name}.service": round(server.cpu_seconds() * 1e6) for name, server in self.servers.items()}
        return {"here": {"at": time.monotonic(), "usage_usec": used}}

    def close(self) -> None: ...

    def start_load(self, arguments: list[str]) -> subprocess.Popen[str]:
        swapped = {RESULT_FILE: str(self.folder / "load.json"), SESSIONS_FILE: ""}
        swapped |= {f"https://{name}.test:443": f"http://127.0.0.1:{server.port}" for name, server in self.servers.items()}
        command = [sys.executable, "-m", "locust", *(swapped.get(a, a) for a in arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.load = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)
        return self.load

    def stop_load(self) -> None:
        self.load.kill()

    def read_load_file(self, path: str) -> str:
        return (self.folder / "load.json").read_text()

    def read_logs(self, since: float, until: float) -> dict[str, dict[str, Any]]:
        return {}


@contextlib.contextmanager
def burning(loops: dict[str, int]):
    """Servers by name, each with the loops that an answer costs."""
    with contextlib.ExitStack() as stack:
        servers = {}
        for name, count in loops.items():
            servers[name] = Server(str(HERE / "burning.py"), str(count))
            stack.callback(servers[name].stop)
        yield servers


def take_rounds(plan: Plan, hosts: LocalHosts, folder: Path) -> Iterator[list[dict[str, Any]]]:
    """Round after round of a plan of `pages`, judged by the whole gate; what the machine alone spoils is taken again, as in a run."""
    result = run.new_result(plan, 11)
    taking = run.Run(plan, hosts, Setting(None, True, 2), result, folder, Progress(0, io.StringIO()), time.monotonic())
    scenario = plan.scenarios["pages"]
    for number in itertools.count(1):
        slots = [(name, False) for name in scenario.candidates] + [(scenario.baseline, True)]
        random.Random(number).shuffle(slots)
        yield [taking.take_calmly(scenario, Slot(number, "pages", name, twin, number), {}) for name, twin in slots]


def bench(plan: Plan, hosts: LocalHosts, folder: Path, resumed: dict[str, Any] | None = None) -> dict[str, Any]:
    """A whole run of the lab, without the questions to hosts that are none."""
    run.provenance.gather = lambda *_: {"load_code_is_this_checkout": True}
    results.point_latest = lambda folder: None
    return run.bench(plan, hosts, 11, folder, resumed)


QUICK = {
    "unit": "request",
    "users": 2,
    "options": {"request_rate": 40, "mix": "json=1"},
    "trial": {"warm_up": 0.1, "measure": 0.5, "settle": 0},
}

if __name__ == "__main__":
    where, loops, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    with burning({"base": loops, "same": loops}) as servers:
        chosen = plan_of(["base", "same"], QUICK | {"rounds": rounds})
        bench(chosen, LocalHosts(servers, where), where, results.read(where) if "resume" in sys.argv else None)
