"""Locust's master and workers as real processes: one window, one document."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SHORT = ("--warm-up", "0.3", "--measure", "1.5", "--seed", "3")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.fixture
def distributed(tmp_path):
    """Run a scenario with a master and two workers; returns (exit code, output of the master, document or None)."""
    started = []

    def locust(scenario, site, *arguments):
        command = [sys.executable, "-m", "locust", "-f", f"loadtests/scenarios/{scenario}.py", "--host", site, *arguments]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        return process

    def run(scenario, port, *arguments, disturb=lambda master, workers: None):
        site, rpc, file = f"http://127.0.0.1:{port}", str(free_port()), tmp_path / "load.json"
        leading = ("--master", "--master-bind-port", rpc, "--expect-workers", "2", "--headless", "--only-summary", "-r", "1000")
        master = locust(scenario, site, *leading, "--result-file", str(file), *arguments)
        workers = [locust(scenario, site, "--worker", "--master-port", rpc) for _ in range(2)]
        disturb(master, workers)
        output, _ = master.communicate(timeout=60)
        return master.returncode, output, json.loads(file.read_text()) if file.exists() else None

    yield run
    for process in started:
        process.kill()
        process.wait()
        if not process.stdout.closed:
            process.stdout.close()


def steps(output):
    return [json.loads(line.removeprefix("@load "))["step"] for line in output.splitlines() if line.startswith("@load ")]


def test_the_master_leads_the_window_and_adds_up_what_the_workers_saw(start_server, distributed):
    from loadtests.users.histograms import merge

    port = start_server()
    code, output, seen = distributed("pages", port, "-u", "10", "--request-rate", "10", "--mix", "json=1", *SHORT)
    assert code == 0, output
    assert steps(output) == ["ready", "opened", "closed"]
    assert seen["generator"]["processes"] == 2 and seen["generator"]["users"] == 10
    series = seen["series"]["json"]
    assert merge([series["latency"]]).total_count == series["count"] == seen["counters"]["woken"]
    assert series["count"] == pytest.approx(150, rel=0.35)
    assert seen["window"]["seconds"] == pytest.approx(1.5, abs=0.3)
    assert seen["arguments"]["request_rate"] == 10


def test_the_crowd_has_a_worker_of_its_own_and_every_message_counts_across_workers(start_server, distributed):
    chat = ("-u", "4", "--members", "60", "--probes", "8", "--rooms", "2", "--message-rate", "3")
    code, output, seen = distributed("chat", start_server(), *chat, *SHORT)
    assert code == 0, output
    assert seen["generator"]["processes"] == 2
    assert seen["sockets"] == {"expected": 68, "opened": 68, "open": 68}
    assert seen["counters"]["published"] > 5
    assert seen["counters"]["deliveries"] == seen["counters"]["deliveries_expected"] == 34 * seen["counters"]["published"]
    assert seen["series"]["delivery"]["count"] == 4 * seen["counters"]["published"]  # of the probes only


def test_a_lying_server_is_caught_across_workers(start_server, distributed):
    chat = ("-u", "2", "--members", "20", "--message-rate", "6")
    _, output, seen = distributed("chat", start_server("--lie", "drop"), *chat, *SHORT)
    assert seen["counters"]["lost"] > 0, output
    assert seen["counters"]["deliveries"] < seen["counters"]["deliveries_expected"]


def test_a_worker_that_dies_in_the_window_fails_the_run_with_one_reason(start_server, distributed):
    def kill_one(master, workers):
        for line in master.stdout:
            if '"opened"' in line:
                time.sleep(0.5)
                return workers[0].kill()

    code, output, _ = distributed("pages", start_server(), "-u", "4", *SHORT, disturb=kill_one)
    assert code == 1
    assert "1 of 2 Locust workers gave no result" in output and "Traceback" not in output
