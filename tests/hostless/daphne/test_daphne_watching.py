"""What it says to systemd, to the journal and to Prometheus."""

import asyncio
import logging
import socket
import sys
import time
import types
import urllib.request

import pytest
from websockets.asyncio.client import connect

from daphne_process import eventually, free_port
from laurel_daphne import capacity, metrics
from test_daphne_flow import UPGRADE, raw_websocket


@pytest.fixture
def systemd(tmp_path):
    """Plays systemd's part: a function that returns the states received so far."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        states = []

        def received():
            try:
                while True:
                    states.extend(listener.recv(4096).decode().splitlines())
            except BlockingIOError:
                return states

        received.environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        yield received


@pytest.mark.cure("says nothing to systemd")
def test_systemd_hears_ready_when_it_listens_and_stopping_when_it_drains(start, systemd):
    server = start(environment=systemd.environment)
    eventually(lambda: "READY=1" in systemd(), seconds=1)
    assert "STATUS=Serving" in systemd()
    server.signal()
    assert server.exit_code() == 0
    assert "STOPPING=1" in systemd()
    assert "STATUS=Drained 0 WebSockets, 0 connections cut" in systemd()


def test_the_watchdog_is_fed_only_while_the_event_loop_turns(start, systemd):
    server = start(environment={**systemd.environment, "WATCHDOG_USEC": "200000"})
    eventually(lambda: systemd().count("WATCHDOG=1") >= 3)
    blocked = server.request("/block/0.8")
    time.sleep(0.1)
    before = systemd().count("WATCHDOG=1")
    time.sleep(0.5)
    assert systemd().count("WATCHDOG=1") == before
    assert blocked.recv(1000)


HEADERS = {"X-Request-ID": "abc123", "X-Forwarded-For": "203.0.113.9"}


def test_a_request_is_one_json_line(shared):
    shared.get("/wait/0.1?token=secret", **{name.replace("-", "_"): value for name, value in HEADERS.items()})
    line = shared.log_line(request_id="abc123")
    assert line.pop("time").endswith("Z")
    assert 100 <= line.pop("duration_ms") < 1000
    assert line == {
        "level": "INFO",
        "logger": "daphne.access",
        "message": "GET /wait/0.1 200",
        "request_id": "abc123",
        "event": "http",
        "method": "GET",
        "path": "/wait/0.1",
        "status": 200,
        "client": "203.0.113.9",
        "bytes": 4,
    }
    assert "secret" not in shared.err.read_text()


def test_a_websocket_is_one_line_when_it_opens_and_one_when_it_closes(start):
    server = start(ours=["--instance", "3"])

    async def talk():
        async with connect(server.url + "/room", additional_headers=HEADERS) as websocket:
            await websocket.send("hello")
            await websocket.recv()
            await websocket.close(4001, "bye")

    asyncio.run(talk())
    opened, closed = server.log_line(event="websocket.connect"), server.log_line(event="websocket.close")
    assert opened["status"] == 101
    assert {"close_code": 4001, "reason": "bye", "messages_in": 1, "bytes_out": 5}.items() <= closed.items()
    for line in opened, closed:
        assert line["request_id"] == "abc123" and line["client"] == "203.0.113.9" and line["instance"] == "3"
    assert len(server.log_lines(logger="daphne.access")) == 2


def test_a_refused_handshake_and_a_client_that_leaves_are_logged(shared):
    shared.request("/refuse", X_Request_ID="refused", **UPGRADE).recv(1000)
    assert shared.log_line(request_id="refused")["status"] == 403
    connection = shared.request("/wait/5", X_Request_ID="left")
    time.sleep(0.1)
    connection.close()
    assert shared.log_line(request_id="left")["status"] == 499


def test_a_forged_address_is_not_believed(shared):
    shared.get(X_Request_ID="forged", X_Forwarded_For="10.0.0.1, 203.0.113.9")
    assert shared.log_line(request_id="forged")["client"] == "203.0.113.9"


def test_everything_on_standard_error_is_json(start):
    server = start()
    raw_websocket(server, "/crash").sendall(b"\x81\x81" + bytes(5))
    assert "as the test asked" in server.log_line(level="ERROR")["message"]
    server.signal()
    assert server.exit_code() == 0
    assert all(line.startswith("{") for line in server.err.read_text().splitlines())


def test_daphnes_own_log_style_can_be_had(start):
    server = start(ours=["--log-style", "daphne"])
    server.get("/x")
    eventually(lambda: '"GET /x" 200' in server.out.read_text())


def scrape(port):
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_metrics_tell_what_happens(start):
    port = free_port()
    server = start(ours=["--metrics-address", f"127.0.0.1:{port - 2}", "--instance", "2"])
    server.get("/")
    server.request("/refuse", **UPGRADE).recv(1000)

    async def talk():
        async with connect(server.url) as websocket:
            await websocket.send("hello")
            await websocket.recv()
            return scrape(port)

    seen = asyncio.run(talk())
    assert seen["daphne_websockets_open"] == 1
    assert seen['daphne_messages_total{direction="in"}'] == seen['daphne_messages_total{direction="out"}'] == 1
    assert seen['daphne_message_bytes_total{direction="in"}'] == 5
    assert seen['daphne_handshakes_refused_total{reason="application"}'] == 1
    assert seen['daphne_http_requests_total{status="2xx"}'] == 1
    with raw_websocket(server, "/flood"):
        eventually(lambda: scrape(port)["daphne_sends_waiting"] == 1)
    seen = eventually(lambda: (now := scrape(port))["daphne_websockets_open"] == 0 and now)
    assert seen['daphne_websockets_closed_total{code="1000"}'] == 1
    assert seen["daphne_send_wait_seconds_count"] >= 1


def test_what_the_channel_layer_drops_is_counted(monkeypatch):
    core = types.ModuleType("channels_redis.core")
    core.logger = logging.getLogger("test.channels_redis.core")
    core.logger.setLevel(logging.WARNING)
    core.BoundedQueue = type("BoundedQueue", (asyncio.Queue,), {"put_nowait": lambda queue, item: queue.get_nowait()})
    monkeypatch.setitem(sys.modules, "channels_redis.core", core)
    capacity.watch()
    core.logger.info("%s of %s channels over capacity in group %s", 3, 5, "room")
    queue = core.BoundedQueue(1)
    asyncio.Queue.put_nowait(queue, "first")
    queue.put_nowait("second")
    counts = {kind: metrics.over_capacity_drops.labels(kind)._value.get() for kind in ("group", "buffer")}
    assert counts == {"group": 3, "buffer": 1}
