"""An app host that is cut off from its database, and from Redis or not: what its sockets are told."""

import asyncio

import pytest
from django.db import OperationalError

from project import codes
from project.cutoff import suspect

from .conftest import Socket

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/ws/rooms/garden/"


def away(*args, **kwargs):
    raise OperationalError("the database is away")


async def test_a_socket_of_a_host_that_is_cut_off_is_told_to_come_back(room, session, monkeypatch, unreachable_redis):
    socket = Socket(PATH, session)
    await socket.open(0)
    monkeypatch.setattr("rooms.consumers.message_publish", away)
    assert (await socket.ask(type="publish", text="x", key="k"))["code"] == "unavailable"
    ended = await socket.receive_output()
    assert (ended["type"], ended["code"]) == ("websocket.close", codes.REPLACED)
    await socket.disconnect()


async def test_one_that_is_silent_finds_out_when_it_looks(room, session, settings, monkeypatch, unreachable_redis):
    settings.FEED_LOOK_SECONDS = 0.2
    monkeypatch.setattr("rooms.feeds.messages_after", away)
    socket = Socket(PATH, session)
    await socket.open(0)
    assert (await socket.receive_output())["code"] == codes.REPLACED
    await socket.disconnect()


async def test_where_redis_answers_the_database_is_away_for_everybody_and_sockets_stay(room, session, monkeypatch):
    socket = Socket(PATH, session)
    await socket.open(0)
    monkeypatch.setattr("rooms.consumers.message_publish", away)
    await socket.ask(type="publish", text="x", key="k")
    assert await socket.receive_nothing(timeout=1)
    await socket.disconnect()


async def test_one_look_at_a_time_is_taken(monkeypatch):
    looks = []
    monkeypatch.setattr("project.cutoff.redis_reason", lambda: looks.append(1))
    for _ in range(50):
        suspect()
    await asyncio.sleep(0.5)
    assert len(looks) == 1


async def handshake(session, extensions):
    socket = Socket(PATH, session)
    socket.scope["extensions"] = extensions
    await socket.send_input({"type": "websocket.connect"})
    return socket


async def test_a_handshake_without_a_database_is_answered_with_503(room, session, monkeypatch):
    monkeypatch.setattr("rooms.consumers.room_get", away)
    socket = await handshake(session, {"websocket.http.response": {}})
    begin = await socket.receive_output()
    assert (begin["type"], begin["status"]) == ("websocket.http.response.start", 503)
    assert int(dict(begin["headers"])[b"retry-after"]) > 0
    assert (await socket.receive_output())["type"] == "websocket.http.response.body"


async def test_a_server_that_cannot_refuse_with_a_status_gets_the_error(room, session, monkeypatch):
    monkeypatch.setattr("rooms.consumers.room_get", away)
    socket = await handshake(session, {})
    with pytest.raises(OperationalError):
        await socket.receive_output()
