"""The database cannot be reached: who asks is told soon, and the first to find out tells those behind."""

import socket
import threading
import time
from contextlib import suppress

import pytest
from django.db import OperationalError, connection, connections

from project.postgresql.base import DatabaseWrapper
from project.unavailable import answer_to

WAIT = 1.5  # seconds that the first one waits


class Way:
    """A way to the database that can be cut: connections end, and no other is let in."""

    def __init__(self, host, port):
        self.target, self.open, self.ends = (host, int(port)), True, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if not self.open:
                near.close()
                continue
            far = socket.create_connection(self.target)
            self.ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source, sink):
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)

    def cut(self):
        self.open = False
        for end in self.ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.cut()
        for end in (self.listener, *self.ends):
            end.close()


@pytest.fixture
def way(db):
    way = Way(connection.settings_dict["HOST"], connection.settings_dict["PORT"])
    yield way
    way.close()


@pytest.fixture
def database(way, django_db_blocker):
    """A wrapper with a pool of its own, by that way."""
    settings = {**connection.settings_dict, "HOST": "127.0.0.1", "PORT": way.port}
    settings["OPTIONS"] = {**settings["OPTIONS"], "pool": {**settings["OPTIONS"]["pool"], "timeout": WAIT}}
    wrapper = DatabaseWrapper(settings, "by-that-way")
    yield wrapper
    wrapper.close()
    wrapper.close_pool()


def seconds_of(database):
    """How long the database took to say that it is away."""
    began = time.monotonic()
    with pytest.raises(OperationalError) as refused:
        ask(database)
    assert answer_to(refused.value)[0] == 503
    return time.monotonic() - began


def ask(database):
    try:
        with database.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        database.close()


def test_the_first_waits_for_the_database_and_those_after_it_do_not(way, database):
    ask(database)
    way.cut()
    assert seconds_of(database) >= WAIT * 0.9
    assert all(seconds_of(database) < WAIT / 2 for _ in range(5))


def test_what_is_back_is_found_and_waited_for_again(way, database):
    ask(database)
    way.cut()
    seconds_of(database)
    way.open = True
    end = time.monotonic() + 10
    while True:
        try:
            ask(database)
            break
        except OperationalError:
            assert time.monotonic() < end, "the database is back, and was not found"
    way.cut()
    assert seconds_of(database) >= WAIT * 0.9


def test_a_pool_that_is_too_small_for_the_moment_is_no_database_away(way, database):
    database.settings_dict["OPTIONS"]["pool"]["max_size"] = 1
    held = DatabaseWrapper(database.settings_dict, "by-that-way")
    ask(held)
    assert held.pool is database.pool
    began = time.monotonic()
    held.connect()
    # Given while the other one waited: it is the pool that has nothing left.
    threading.Timer(WAIT / 2, lambda: setattr(held.pool, "given", time.monotonic())).start()
    with pytest.raises(OperationalError) as refused:
        ask(database)
    assert time.monotonic() - began >= WAIT * 0.9
    assert database.pool.timeout == WAIT
    assert answer_to(refused.value)[0] == 429
    held.close()


def test_the_kernel_is_told_when_to_give_a_connection_up(db):
    connection.ensure_connection()
    with socket.fromfd(connection.connection.pgconn.socket, socket.AF_INET, socket.SOCK_STREAM) as end:
        assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 3000
        assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 3
        assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 1
    connections.close_all()
