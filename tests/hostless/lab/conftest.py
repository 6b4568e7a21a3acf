"""A small lying server, Locust as a process, and made-up rows."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))


@pytest.fixture
def start_server():
    """Start server.py with arguments; returns its port."""
    started = []

    def start(*arguments):
        command = [sys.executable, str(Path(__file__).with_name("server.py")), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return int(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def run_locust(tmp_path):
    """Run a scenario without hosts; returns (exit code, output, result document or None)."""

    def run(scenario, port, *arguments, timeout=40):
        file = tmp_path / "load.json"
        command = [sys.executable, "-m", "locust", "-f", f"loadtests/scenarios/{scenario}.py"]
        command += ["--host", f"http://127.0.0.1:{port}", "--headless", "--only-summary", "-r", "1000"]
        command += ["--result-file", str(file), *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)
        seen = json.loads(file.read_text()) if file.exists() else None
        return done.returncode, done.stdout + done.stderr, seen

    return run


@pytest.fixture
def world():
    """The committed topologies, and a rig with one target."""
    from loadtests.lab.reading import read_yaml
    from loadtests.lab.world import DATA, make_world

    rig = {"rig_targets": {"floor-wsgi": {"server": "uwsgi", "path": "/bare", "body": "ok", "units": ["rig-floor-wsgi.service"]}}}
    return make_world(read_yaml(DATA / "topologies.yml"), rig, {"uwsgi_processes": 2})


@pytest.fixture
def plan_data():
    """A plan with two scenarios, as `expand` gives it."""
    from loadtests.lab.plan import GATE_FILE
    from loadtests.lab.reading import read_yaml

    return {
        "name": "short",
        "question": "Which one?",
        "minutes": 10,
        "gate": read_yaml(GATE_FILE),
        "scenarios": {
            "pages": {
                "question": "What does a request cost?",
                "unit": "request",
                "users": 10,
                "options": {"request_rate": 60, "mix": "json=4 row=3"},
                "trial": {"warm_up": 0.5, "measure": 6, "settle": 0},
                "rounds": 4,
                "objective": {"percentile": "p99", "below_ms": 100},
                "compare": {"topologies": "all", "baseline": "mixed"},
            },
            "chat": {
                "question": "What does a delivery cost?",
                "unit": "delivery",
                "users": 40,
                "options": {"message_rate": 16, "transport": "websocket"},
                "trial": {"warm_up": 0.5, "measure": 6, "settle": 0},
                "rounds": 4,
                "compare": {"topologies": "all", "without_websocket": {"transport": "polling"}, "baseline": "mixed"},
            },
        },
    }


@pytest.fixture
def row():
    """Make a valid row; keyword arguments replace parts of it."""
    from loadtests.users.histograms import empty, encode, record

    def make(**changes):
        histogram = empty()
        for thousandth in range(1, 101):
            record(histogram, thousandth / 1000)
        base = {
            "id": "1-pages-mixed",
            "round": 1,
            "scenario": "pages",
            "candidate": "mixed",
            "twin": False,
            "seed": 1,
            "unit": "request",
            "measured": True,
            "opened_unix": 1.7e9,
            "valid": True,
            "reasons": [],
            "seconds": 6.0,
            "host_seconds": 6.01,
            "offered": 720.0,
            "sent": 715,
            "units": 715,
            "latency_ms": {"p50": 5.0, "p95": 9.0, "p99": 12.0, "max": 20.0},
            "mean_ms": 5.5,
            "histogram": encode(histogram),
            "errors": 0,
            "error_kinds": {},
            "answers": 715,
            "in_flight": {"counted": 0.66, "expected": 0.65, "requests": 715},
            "cpu_us": {"nginx": 100.0, "uwsgi": 300.0},
            "kernel_cpu_us": {"nginx": 60.0, "uwsgi": 40.0},
            "cpu_us_total": 400.0,
            "cpu_busy": {"nginx": 0.1, "uwsgi": 0.3},
            "kernel_busy": {"system": 0.1, "interrupts": 0.02, "stolen": 0.0},
            "memory_mib": 300.0,
            "memory_kib_per_unit": None,
            "kernel_memory_kib_per_unit": None,
            "bytes_per_unit": 900.0,
            "switches_per_unit": 12.0,
            "bottleneck": {"service": "uwsgi", "share": 0.4, "limit": "the 1 CPU of the servers"},
            "doubts": [],
            "counters": {"woken": 715, "late": 2},
            "generator": {"cpu_share": 0.2, "cpu_seconds": 1.2, "users": 10},
            "sockets": {"expected": 0, "opened": 0, "open": 0},
        }
        return base | changes

    return make
