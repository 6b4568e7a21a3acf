"""SIGTERM and SIGUSR1: nobody is dropped, nobody is forgotten, and it ends in time."""

import asyncio
import signal
import socket
import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from daphne_process import read_all
from laurel_daphne.drain import batch_size

SERVICE_RESTART = 1012


async def hold(server, count, path="/", act=None):
    """Opens sockets, acts, and returns (close code, seconds since the act) of each."""
    sockets = await asyncio.gather(*(connect(server.url + path) for _ in range(count)))
    began = time.monotonic()
    (act or server.signal)()

    async def closing(websocket):
        try:
            async with asyncio.timeout(8):
                await websocket.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006, time.monotonic() - began
        except TimeoutError:
            return None, None

    return await asyncio.gather(*(closing(websocket) for websocket in sockets))


@pytest.mark.cure("drops every socket without a close frame, runs no disconnect()")
def test_sigterm_closes_sockets_with_1012_and_lets_consumers_disconnect(start):
    server = start()
    closings = asyncio.run(hold(server, 20, "/tidy-slowly"))
    assert [code for code, _ in closings] == [SERVICE_RESTART] * 20
    assert server.exit_code() == 0
    assert server.said(f"disconnected {SERVICE_RESTART}") == 20


@pytest.mark.cure("cancels requests in flight")
def test_requests_in_flight_are_answered(start):
    server = start()
    connection = server.request("/wait/0.7")
    time.sleep(0.2)
    server.signal()
    answer = read_all(connection)
    assert "200" in answer and "done" in answer
    assert server.exit_code() == 0


def test_an_answer_during_the_drain_ends_its_connection(start):
    server = start()
    connection = server.request("/tidy")
    read_once = connection.recv(1000)
    assert b"connection: close" not in read_once.lower()
    slow = server.request("/wait/0.6")
    time.sleep(0.1)
    server.signal()
    time.sleep(0.1)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
    assert "connection: close" in read_all(connection).lower()
    assert "done" in read_all(slow)


def test_sockets_are_closed_in_batches(start):
    server = start(ours=["--drain-batch", "5", "--drain-interval", "0.3"])
    times = sorted(seconds for _, seconds in asyncio.run(hold(server, 20)))
    assert times[4] < 0.15 < times[5], "five at once"
    assert 0.4 < times[-1] < 1.6, "three pauses of 0.15 to 0.45 s"
    assert server.exit_code() == 0


def test_batches_grow_to_keep_the_limit(start):
    server = start(ours=["--drain-batch", "1", "--drain-interval", "0.2", "--drain-limit", "0.8"])
    closings = asyncio.run(hold(server, 20))
    assert {code for code, _ in closings} == {SERVICE_RESTART}
    assert 0.2 < max(seconds for _, seconds in closings) < 1.3


@pytest.mark.parametrize(("sockets", "expected"), [(0, 50), (50, 50), (1000, 50), (2000, 100), (2001, 101)], ids=str)
def test_batch_size(sockets, expected):
    assert batch_size(sockets, batch=50, interval=0.5, limit=10) == expected


def test_no_limit_means_all_at_once():
    assert batch_size(2000, batch=50, interval=0.5, limit=0) == 2000


def test_a_second_signal_hurries(start):
    server = start(ours=["--drain-batch", "1", "--drain-interval", "10", "--drain-limit", "1000"])

    def twice():
        server.signal()
        time.sleep(0.3)
        server.signal()

    began = time.monotonic()
    closings = asyncio.run(hold(server, 10, "/tidy-never", twice))
    assert {code for code, _ in closings} == {SERVICE_RESTART}
    assert server.exit_code() == 0
    assert time.monotonic() - began < 4


def test_a_consumer_that_does_not_end_is_cut_after_the_grace(start):
    server = start(ours=["--drain-grace", "0.5"])
    closings = asyncio.run(hold(server, 2, "/tidy-never"))
    assert {code for code, _ in closings} == {SERVICE_RESTART}
    assert server.exit_code() == 0
    assert server.log_line(logger="daphne.launcher", level="WARNING")["message"].endswith("2 connections cut")


def test_nothing_is_accepted_during_a_drain(start):
    server = start()
    slow = server.request("/wait/1")
    time.sleep(0.2)
    server.signal()
    time.sleep(0.2)
    with pytest.raises(ConnectionRefusedError):
        server.connect()
    assert "done" in read_all(slow)


@pytest.mark.cure("SIGUSR1 kills it")
def test_sigusr1_closes_what_is_open_and_stays(start):
    server = start()
    closings = asyncio.run(hold(server, 5, act=lambda: server.signal(signal.SIGUSR1)))
    assert {code for code, _ in closings} == {SERVICE_RESTART}
    assert "done" in server.get()

    async def opens_again():
        async with connect(server.url) as websocket:
            await websocket.send("still here")
            return await websocket.recv()

    assert asyncio.run(opens_again()) == "still here"
    server.signal()
    assert server.exit_code() == 0


def test_sigusr1_during_a_drain_means_those_too_that_opened_since(start):
    server = start(ours=["--drain-batch", "1", "--drain-interval", "0.3"])

    async def in_between():
        first = [await connect(server.url) for _ in range(4)]
        server.signal(signal.SIGUSR1)
        await asyncio.sleep(0.2)
        late = await connect(server.url)  # not meant by the first signal
        server.signal(signal.SIGUSR1)
        async with asyncio.timeout(8):
            for websocket in (*first, late):
                await websocket.wait_closed()
        return [websocket.close_code for websocket in (*first, late)]

    assert asyncio.run(in_between()) == [SERVICE_RESTART] * 5
    assert "done" in server.get()


@pytest.fixture
def listening_socket():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield listener


def test_socket_activation_keeps_connections_for_the_successor(start, listening_socket):
    activated = {"listen": ["-e", "systemd:domain=INET:index=0"], "descriptor": listening_socket.fileno()}
    first = start(wait=False, **activated)
    first.port = listening_socket.getsockname()[1]
    assert "done" in first.get()
    first.signal()
    assert first.exit_code() == 0
    waiting = first.request(Connection="close")
    start(wait=False, **activated)
    assert "done" in read_all(waiting)


def test_a_missing_socket_unit_is_explained(start):
    server = start(listen=["-e", "systemd:domain=INET:index=0"], wait=False)
    assert server.exit_code() == 1
    assert "Start the .socket unit first" in server.err.read_text()


@pytest.mark.cure("takes every inherited socket for IPv4 and resets its connections")
def test_an_inherited_unix_socket_is_served(start, tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(10)
        start(listen=["--fd", "3"], descriptor=listener.fileno(), wait=False)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(tmp_path / "s"))
            client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            answer = read_all(client)
    assert "done" in answer
