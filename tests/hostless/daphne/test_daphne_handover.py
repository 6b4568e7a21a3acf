"""SIGUSR2: a successor on the same socket, ready before the old one drains; one that cannot start changes nothing."""

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from daphne_process import eventually
from test_daphne_drain import SERVICE_RESTART, hold


@pytest.fixture
def listening_socket():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield listener


@pytest.fixture
def systemd(tmp_path):
    """Where systemd would hear what the unit says."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as address:
        address.bind(str(tmp_path / "notify"))
        address.setblocking(False)
        yield address


@pytest.fixture
def current(tmp_path):
    """A link to the release, as on a host."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    link = tmp_path / "current"
    link.symlink_to("old")
    return link


@pytest.fixture
def server(start, listening_socket, systemd, current, tmp_path):
    server = start(
        "--handover-directory", str(current), "--handover-timeout", "10",
        listen=["-e", "systemd:domain=INET:index=0"], descriptor=listening_socket.fileno(), wait=False,
        environment={"NOTIFY_SOCKET": str(tmp_path / "notify")},
    )  # fmt: skip
    server.port = listening_socket.getsockname()[1]
    eventually(lambda: "done" in server.get())
    yield server
    for pid in successors(server):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def successors(server):
    return [int(line["message"].split()[1]) for line in server.log_lines() if line["message"].startswith("successor ")]


def heard(systemd):
    """All that systemd was told, one notice each."""
    notices = []
    with contextlib.suppress(BlockingIOError):
        while True:
            notices.append(systemd.recv(1000).decode())
    return notices


def test_a_successor_serves_before_the_old_one_drains(server, systemd, current):
    def act():
        current.unlink()
        current.symlink_to("new")
        server.signal(signal.SIGUSR2)
        eventually(lambda: successors(server))

    closings = asyncio.run(hold(server, 20, "/tidy", act))
    assert [code for code, _ in closings] == [SERVICE_RESTART] * 20
    assert server.exit_code() == 0
    (successor,) = successors(server)
    assert Path(f"/proc/{successor}/cwd").resolve() == current.resolve()
    assert "done" in server.get()
    said = heard(systemd)
    assert f"MAINPID={successor}\nSTATUS=Serving" in said
    # A word about stopping would stop the unit, and with it the successor.
    assert not [notice for notice in said if "STOPPING" in notice]


def test_nobody_who_connects_meanwhile_is_refused_or_waits(server):
    async def visits():
        server.signal(signal.SIGUSR2)
        slowest, loop = 0, asyncio.get_running_loop()
        while not successors(server) or server.process.poll() is None:
            began = loop.time()
            async with connect(server.url + "/"):
                slowest = max(slowest, loop.time() - began)
        return slowest

    assert asyncio.run(asyncio.wait_for(visits(), 60)) < 2


def test_a_successor_can_be_succeeded(server):
    server.signal(signal.SIGUSR2)
    assert server.exit_code() == 0
    (first,) = successors(server)
    os.kill(first, signal.SIGUSR2)
    eventually(lambda: len(successors(server)) == 2)
    assert "done" in server.get()


def test_a_successor_that_cannot_start_changes_nothing(server, systemd, current):
    current.unlink()
    server.signal(signal.SIGUSR2)
    line = server.log_line(level="ERROR")
    assert line["message"].startswith("no handover, still serving: the successor ")
    assert "done" in server.get()
    assert server.process.poll() is None
    assert not [notice for notice in heard(systemd) if "MAINPID" in notice]


def test_without_sockets_of_systemd_there_is_no_handover(start):
    server = start()
    server.signal(signal.SIGUSR2)
    assert "only sockets that systemd passed" in server.log_line(level="ERROR")["message"]
    assert "done" in server.get()
