"""A client that does not read holds its sender; an application that does not read holds its client."""

import asyncio
import base64
import time

import pytest
from websockets.asyncio.client import connect

from daphne_process import Daphne, eventually, read_all

MEGABYTE = 1024 * 1024
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": base64.b64encode(bytes(16)).decode(),
}


def raw_websocket(server, path, **headers):
    """A socket after the handshake, of which nothing more is read."""
    connection = server.request(path, **UPGRADE, **headers)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1)
    return connection


def growth(server, before, seconds):
    """How much memory the server gained within the time; returns early once that is clear."""
    end = time.monotonic() + seconds
    while (gained := server.memory() - before) < 8 * MEGABYTE and time.monotonic() < end:
        time.sleep(0.05)
    return gained


@pytest.mark.cure("buffers without bound for a client that does not read")
@pytest.mark.parametrize("connect_to", [raw_websocket, Daphne.request], ids=["websocket", "http"])
def test_memory_stays_flat_for_a_client_that_never_reads(start, connect_to):
    server = start()
    server.get()
    before = server.memory()
    with connect_to(server, "/flood"):
        assert growth(server, before, seconds=1) < 8 * MEGABYTE
    assert server.said("flooded") == 0


def test_a_client_that_reads_late_gets_everything_in_order(shared):
    with raw_websocket(shared, "/flood") as connection, connection.makefile("rb") as stream:
        time.sleep(0.3)
        # A frame is ten bytes of header (64-bit length) and the payload, which begins with its number.
        numbers = [int.from_bytes(stream.read(10 + 65536)[10:14], "big") for _ in range(1000)]
    assert numbers == list(range(1000))


@pytest.mark.cure("keeps a client that does not read")
def test_a_client_that_does_not_read_is_closed_with_a_reason(start):
    server = start(ours=["--send-timeout", "0.5", "--websocket-close-timeout", "0.5"])
    with raw_websocket(server, "/flood"):
        eventually(lambda: server.said("disconnected 1013"), seconds=2)
        line = server.log_line(event="websocket.close")
    assert line["close_code"] == 1013
    assert line["reason"] == "slow reader: nothing was read for 0.5 s"


@pytest.mark.cure("buffers without bound for an application that does not read")
def test_memory_stays_flat_for_an_application_that_never_reads(start):
    server = start()
    server.get()
    before = server.memory()
    frame = b"\x82\xff" + (65536).to_bytes(8, "big") + bytes(4) + bytes(65536)
    with raw_websocket(server, "/deaf") as connection:
        connection.settimeout(0.3)
        try:
            for _ in range(800):  # 50 MB
                connection.sendall(frame)
        except TimeoutError:
            pass
        assert growth(server, before, seconds=0.3) < 8 * MEGABYTE


@pytest.mark.cure("drops empty messages silently")
@pytest.mark.parametrize("message", ["", b""], ids=["text", "binary"])
def test_empty_messages_are_delivered(shared, message):
    async def echo():
        async with connect(shared.url) as websocket, asyncio.timeout(1):
            await websocket.send(message)
            return await websocket.recv()

    assert asyncio.run(echo()) == message


def test_a_http_client_that_does_not_read_is_cut(start):
    server = start(ours=["--send-timeout", "0.5"])
    with server.request("/flood"):
        assert server.log_line(event="http")["status"] == 499


@pytest.mark.cure("cuts a response that is being streamed when --http-timeout has passed")
def test_the_http_timeout_is_for_responses_that_have_not_begun(start):
    server = start("--http-timeout", "1")
    assert read_all(server.request("/stream/3", Connection="close")).endswith("done\r\n0\r\n\r\n")
