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
def plan_data():
    """The committed plan and the topologies, as read from YAML."""
    from loadtests.lab.plan import PLANS, TOPOLOGIES_FILE, read_yaml

    return read_yaml(PLANS / "bench.yml"), read_yaml(TOPOLOGIES_FILE)


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
            "topology": "mixed",
            "twin": False,
            "seed": 1,
            "unit": "request",
            "measured": True,
            "valid": True,
            "reasons": [],
            "seconds": 6.0,
            "host_seconds": 6.01,
            "transport": "http",
            "offered": 720.0,
            "sent": 715,
            "units": 715,
            "requests_per_second": 119.0,
            "messages_per_second": 0.0,
            "latency_ms": {"p50": 5.0, "p95": 9.0, "p99": 12.0, "max": 20.0},
            "histogram": encode(histogram),
            "errors": 0,
            "error_kinds": {},
            "answers": 715,
            "cpu_us": {"nginx": 100.0, "uwsgi": 300.0},
            "cpu_us_total": 400.0,
            "cpu_busy": {"nginx": 0.1, "uwsgi": 0.3},
            "busiest": "uwsgi",
            "doubts": [],
            "counters": {"woken": 715, "late": 2},
            "generator": {"cpu_share": 0.2, "cpu_seconds": 1.2, "users": 10},
            "sockets": {"expected": 0, "open": 0},
            "calibration_seconds": 0.01,
        }
        return base | changes

    return make
