"""Prometheus asks everybody, its rules work, and the dashboard is there."""

import json
import os
import signal
import socket
import subprocess
import time

import httpx
import pytest

from cluster.paths import ROOT
from helpers import until

TOLD = [
    "laurel_http_requests_total",
    "laurel_http_request_seconds_count",
    "laurel_uwsgi_requests_total",
    "laurel_unit_cpu_seconds_total",
    "laurel_unit_memory_bytes",
    "feed_delay_seconds_count",
    "pg_stat_activity_count",
    "redis_commands_processed_total",
    "node_cpu_seconds_total",
    "laurel_certificate_not_after_seconds",
]
RULES_TEST = ROOT / "tests/cluster/alerts.test.yml"


def values(deployed, query):
    return {
        json.dumps(item["metric"], sort_keys=True): float(item["value"][1])
        for item in deployed.prometheus(f"query?query={query}")["result"]
    }


def test_everybody_who_is_asked_answers(deployed):
    def down():
        targets = deployed.prometheus("targets")["activeTargets"]
        return [target["scrapeUrl"] for target in targets if target["health"] != "up"] or len(targets) < 16

    assert until(lambda: not down(), 60), down()


def test_numbers_come_of_requests_sockets_workers_units_and_stores(deployed, ada):
    room = ada.post("/rooms/", name=f"Watched {time.monotonic_ns()}").headers["location"]
    with ada.open(f"/ws{room}") as open_socket, deployed.browser() as browser:
        open_socket.send(json.dumps({"type": "subscribe", "after": None}))
        open_socket.send(json.dumps({"type": "publish", "text": "hello"}))
        for _ in range(20):
            assert browser.get("/workload/row").status_code == 200
        assert until(lambda: sum(values(deployed, "daphne_websockets_open").values()) >= 1, 60)
    for query in TOLD:
        assert until(lambda query=query: sum(values(deployed, query).values()) > 0, 60), query
    assert values(deployed, "redis_up") and set(values(deployed, "redis_up").values()) == {1}
    assert values(deployed, "pg_up") and set(values(deployed, "pg_up").values()) == {1}
    assert set(values(deployed, "laurel_exporter_failures").values()) == {0}


def test_the_rules_fire_when_they_should_and_not_before(deployed):
    ship = "cat > /tmp/alerts.test.yml && cp /etc/prometheus/alerts.yml /tmp/alerts.yml && cd /tmp && promtool test rules alerts.test.yml"
    command = ["ssh", "-F", deployed.inventory / "ssh_config", "load", "--", ship]
    done = subprocess.run(command, input=RULES_TEST.read_text(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def dashboard(deployed):
    """Its address, for as long as `make dashboard` runs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["make", "dashboard", f"DASHBOARD_PORT={port}"]
    # Tests may have been started with SIGINT ignored, which children would inherit.
    process = subprocess.Popen(
        command, cwd=deployed.root, stdout=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        assert f"http://localhost:{port}/user/" in line
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(20)
        process.stdout.close()


def test_the_dashboard_is_a_page_that_asks_prometheus(dashboard):
    page = httpx.get(f"{dashboard}/user/", trust_env=False)
    assert page.status_code == 200 and "Laurel: dashboard" in page.text
    for name in ("dashboard.js", "dashboard.css"):
        assert httpx.get(f"{dashboard}/user/{name}", trust_env=False).status_code == 200
    assert httpx.get(f"{dashboard}/api/v1/query", params={"query": "up"}, trust_env=False).json()["status"] == "success"


def test_prometheus_listens_on_loopback_only(deployed):
    assert "127.0.0.1:9090" in deployed.on("load", "ss -Hltn | grep :9090")[1]
    assert deployed.on("edge", f"timeout 3 bash -c '</dev/tcp/{deployed.address('load')}/9090'")[0] != 0


def test_a_port_that_is_taken_is_named(deployed):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = deployed.make("dashboard", DASHBOARD_PORT=port)
    assert done.code == 2
    assert f"the port {port} is taken on this machine" in done.err
