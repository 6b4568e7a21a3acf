"""Resuming: what a reader gets that names a position."""

import asyncio

import pytest
from asgiref.sync import sync_to_async

from rooms.models import Message

from .conftest import Socket, publish, texts

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/ws/rooms/garden/"


async def test_a_publish_that_is_repeated_is_acknowledged_again_and_delivered_once(room, session):
    socket = Socket(PATH, session)
    await socket.connect()
    frame = {"type": "publish", "text": "once", "key": "k1"}
    assert await socket.ask(**frame) == await socket.ask(**frame) == {"type": "ack", "id": 1, "key": "k1"}
    await socket.send_json_to({"type": "subscribe", "after": 0})
    assert (await socket.frames(2))[1]["text"] == "once"
    assert await socket.receive_nothing(0.5)
    await socket.disconnect()


async def test_an_empty_feed_is_recovered_from_the_start(room, session):
    socket = Socket(PATH, session)
    assert await socket.open(0) == {"type": "subscribed", "after": 0, "recovered": True, "oldest": None, "newest": 0}
    await socket.disconnect()


async def test_a_reader_goes_on_after_the_id_it_names(room, user, session):
    await publish(room, user, "one", "two", "three")
    socket = Socket(PATH, session)
    assert (await socket.open(1))["recovered"] is True
    assert texts(await socket.frames(2)) == ["two", "three"]
    await publish(room, user, "four")
    assert (await socket.frame())["id"] == 4
    await socket.disconnect()


async def test_what_was_missed_comes_at_once_also_when_the_process_listens_to_the_room_already(room, user, session, settings):
    settings.FEED_LOOK_SECONDS = 300  # at once, not at the next look
    early, late = Socket(PATH, session), Socket(PATH, session)
    await early.open(0)
    await publish(room, user, "missed")
    await early.frame()
    await late.open(0)
    assert (await late.frame())["text"] == "missed"
    await early.disconnect(), await late.disconnect()


async def test_without_an_id_a_reader_gets_only_what_is_new(room, user, session):
    await publish(room, user, "old")
    socket = Socket(PATH, session)
    assert (await socket.open())["after"] == 1
    assert await socket.receive_nothing(0.3)
    await publish(room, user, "new")
    assert (await socket.frame())["text"] == "new"
    await socket.disconnect()


@pytest.mark.parametrize(("after", "recovered"), [(1, False), (2, True), (4, True), (5, False)])
async def test_what_is_no_longer_kept_or_not_yet_there_is_said_and_nothing_is_given_in_part(room, user, session, after, recovered):
    await publish(room, user, "one", "two", "three", "four")
    await sync_to_async(Message.objects.filter(number__lte=2).delete)()
    socket = Socket(PATH, session)
    subscribed = await socket.open(after)
    assert (subscribed["recovered"], subscribed["oldest"], subscribed["newest"]) == (recovered, 3, 4)
    await publish(room, user, "five")
    expected = range(after + 1, 6) if recovered else [5]
    assert [frame["id"] for frame in await socket.frames(len(expected))] == list(expected)
    await socket.disconnect()


async def test_more_than_a_page_arrives_whole_and_in_order(room, user, session, settings):
    settings.FEED_PAGE_SIZE, settings.FEED_TAIL_SIZE = 3, 5
    await publish(room, user, *"abcdefghij")
    early, late = Socket(PATH, session), Socket(PATH, session)
    await early.open(0)
    assert "".join(texts(await early.frames(10))) == "abcdefghij"
    await publish(room, user, *"klmnopqrst")
    await late.open(4)
    assert "".join(texts(await early.frames(10))) == "klmnopqrst"
    assert "".join(texts(await late.frames(16))) == "efghijklmnopqrst"
    await early.disconnect(), await late.disconnect()


async def test_publishing_while_readers_join_loses_and_doubles_nothing(room, user, session):
    writing = asyncio.create_task(publish(room, user, *map(str, range(60))))
    sockets = []
    for _ in range(6):
        sockets.append(Socket(PATH, session))
        await sockets[-1].open(0)
    await writing
    for socket in sockets:
        assert [frame["id"] for frame in await socket.frames(60)] == list(range(1, 61))
        assert await socket.receive_nothing(0.05)
        await socket.disconnect()


async def test_a_lost_wake_up_delays_a_message_but_does_not_lose_it(room, user, session, settings, monkeypatch):
    settings.FEED_LOOK_SECONDS = 0.3
    socket = Socket(PATH, session)
    await socket.open(0)
    monkeypatch.setattr("rooms.services.wake_soon", lambda group, newest: None)
    await publish(room, user, "quiet")
    assert (await socket.frame())["text"] == "quiet"
    await socket.disconnect()
