"""Handshakes, limits, close codes and the command line."""

import asyncio
import signal
import socket

import daphne.cli
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import laurel_daphne.cli
from daphne_process import eventually, read_all
from test_daphne_flow import UPGRADE


async def closing(url, message=None):
    """The close code and reason that the server gives."""
    async with connect(url) as websocket, asyncio.timeout(3):
        try:
            if message:
                await websocket.send(message)
            await websocket.recv()
        except ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


@pytest.mark.cure("drops the connection, so that the proxy says 502")
def test_an_application_that_does_not_accept_in_time_gives_504(start):
    server = start("--websocket_connect_timeout", "1", ours=["--websocket-handshake-timeout", "0.3"])
    assert read_all(server.request("/never", **UPGRADE)).startswith("HTTP/1.1 504")
    assert server.log_line(event="websocket.connect")["status"] == 504


@pytest.mark.cure("lets in any number, and accepts none of them in time")
def test_more_handshakes_than_may_wait_at_once_are_told_to_come_back(start):
    server = start("--websocket_connect_timeout", "1", ours=["--websocket-opening", "2"])
    waiting = [server.request("/never", **UPGRADE) for _ in range(2)]
    assert eventually(lambda: "429" in (seen := read_all(server.request("/", **UPGRADE))) and "retry-after: 1" in seen.lower())
    # Those who waited have been answered: there is room again.
    for connection in waiting:
        assert " 504 " in read_all(connection)
    assert asyncio.run(closing(f"{server.url}/close/4100")) == (4100, "because")
    # Who opens, and who leaves before, counts no more.
    for _ in range(3):
        server.request("/never", **UPGRADE).close()
        assert asyncio.run(closing(f"{server.url}/close/4100")) == (4100, "because")


@pytest.mark.cure("ignores what it does not know, and drops the connection in time")
def test_an_application_can_refuse_with_a_status_and_headers(start):
    server = start("--websocket_connect_timeout", "1")
    seen = read_all(server.request("/unavailable", **UPGRADE)).lower()
    assert seen.startswith("http/1.1 503 service unavailable") and "retry-after: 3" in seen
    # Its body is not sent, so that its length must not be told.
    assert "content-length: 4" not in seen
    assert server.log_line(event="websocket.connect")["status"] == 503


@pytest.mark.cure("answers 400; RFC 6455 asks for 426")
def test_a_version_that_is_not_spoken_gives_426_and_those_that_are(shared):
    with shared.request("/", **{**UPGRADE, "Sec_WebSocket_Version": "12"}) as connection:
        seen = read_all(connection)
    assert seen.startswith("HTTP/1.1 426") and "Sec-WebSocket-Version: 13" in seen


@pytest.mark.cure("applications can close with 1000 and 3000 to 4999 only, and never with a reason")
@pytest.mark.parametrize("code", [1001, 4100])
def test_applications_can_close_with_any_code_and_a_reason(shared, code):
    assert asyncio.run(closing(f"{shared.url}/close/{code}")) == (code, "because")


@pytest.mark.cure("drops the connection without a close frame")
def test_a_message_over_the_limit_is_closed_with_1009(shared):
    code, reason = asyncio.run(closing(shared.url, "x" * 1001))
    assert code == 1009 and "1000" in reason


@pytest.mark.cure("raises in the application: the limit for what is received is held against what is sent")
def test_the_limit_is_for_incoming_messages_alone(shared):
    async def receive():
        async with connect(shared.url + "/big") as websocket:
            return await websocket.recv()

    assert asyncio.run(receive()) == "x" * 5000


@pytest.mark.cure("raises in the application, whose disconnect() then never runs")
def test_a_message_sent_while_the_socket_closes_is_dropped(shared):
    assert asyncio.run(closing(shared.url + "/late")) == (4000, "")
    eventually(lambda: shared.said("disconnected 4000"), seconds=1)


@pytest.mark.cure("listens with a backlog of 50")
def test_a_storm_of_connections_waits_in_the_backlog(start):
    server = start(ours=["--backlog", "200"])
    server.signal(signal.SIGSTOP)
    connections = []
    try:
        for _ in range(100):
            connection = socket.socket()
            connection.settimeout(0.5)
            connections.append(connection)
            connection.connect(("127.0.0.1", server.port))
    finally:
        for connection in connections:
            connection.close()


def options(command_line):
    return {name for action in command_line().parser._actions for name in action.option_strings}


def test_every_flag_of_daphne_is_accepted():
    ours, daphnes = options(laurel_daphne.cli.CommandLine), options(daphne.cli.CommandLineInterface)
    assert len(daphnes) > 20
    assert daphnes <= ours


def test_a_bad_metrics_address_is_explained(start):
    server = start("--metrics-address", "9101", wait=False)
    assert server.exit_code() == 2
    assert "'9101': expected HOST:PORT, such as 127.0.0.1:9101" in server.err.read_text()
