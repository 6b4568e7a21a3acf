"""The recovery table: what a reader gets that names a position, the same on every transport."""

import asyncio

import pytest
from asgiref.sync import sync_to_async

from rooms.models import Message

from .conftest import publish, texts
from .readers import READERS, WsgiAnswer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=READERS)
async def reader(request, session, settings, monkeypatch):
    settings.WAITING_REQUESTS_MAX = 8
    monkeypatch.setattr("project.streams.client_is_gone", WsgiAnswer.client_is_gone)
    WsgiAnswer.gone.clear()
    reader = READERS[request.param](session)
    yield reader
    await reader.close()


def recovery(after, recovered, oldest, newest):
    return {"after": after, "recovered": recovered, "oldest": oldest, "newest": newest}


async def drop(up_to):
    await sync_to_async(Message.objects.filter(number__lte=up_to).delete)()


async def test_an_empty_feed(reader, room, user):
    assert await reader.open(0) == recovery(0, True, None, 0)
    await publish(room, user, "first")
    assert (await reader.frame())["text"] == "first"


async def test_from_a_position(reader, room, user):
    await publish(room, user, "one", "two", "three")
    assert await reader.open(1) == recovery(1, True, 1, 3)
    assert texts(await reader.frames(2)) == ["two", "three"]
    await publish(room, user, "four")
    assert (await reader.frame())["id"] == 4


async def test_from_a_position_that_is_gone_nothing_is_given_in_part(reader, room, user):
    await publish(room, user, "one", "two", "three", "four")
    await drop(2)
    assert await reader.open(1) == recovery(4, False, 3, 4)
    await publish(room, user, "five")
    assert (await reader.frame())["id"] == 5


async def test_from_the_last_position_that_is_not_gone(reader, room, user):
    await publish(room, user, "one", "two", "three", "four")
    await drop(2)
    assert await reader.open(2) == recovery(2, True, 3, 4)
    assert texts(await reader.frames(2)) == ["three", "four"]


async def test_from_a_position_that_does_not_exist_yet(reader, room, user):
    await publish(room, user, "one")
    assert await reader.open(7) == recovery(1, False, 1, 1)
    await publish(room, user, "two")
    assert (await reader.frame())["id"] == 2


async def test_from_the_newest_position(reader, room, user):
    await publish(room, user, "one", "two")
    assert await reader.open(2) == recovery(2, True, 1, 2)
    assert await reader.nothing(0.3)


async def test_from_the_newest_position_when_nothing_is_kept(reader, room, user):
    await publish(room, user, "one", "two")
    await drop(2)
    assert await reader.open(2) == recovery(2, True, None, 2)
    await publish(room, user, "three")
    assert (await reader.frame())["id"] == 3


async def test_more_than_a_page_arrives_whole_and_in_order(reader, room, user, settings):
    settings.FEED_PAGE_SIZE, settings.FEED_TAIL_SIZE = 3, 5
    await publish(room, user, *"abcdefghij")
    await reader.open(2)
    await publish(room, user, *"klm")
    assert "".join(texts(await reader.frames(11))) == "cdefghijklm"


async def test_a_publish_in_the_very_moment_of_joining_is_given_once(reader, room, user):
    writing = asyncio.create_task(publish(room, user, *map(str, range(40))))
    await asyncio.sleep(0.02)
    await reader.open(0)
    await writing
    assert [frame["id"] for frame in await reader.frames(40)] == list(range(1, 41))
    assert await reader.nothing(0.1)


async def test_a_lost_wake_up_delays_a_message_but_does_not_lose_it(reader, room, user, settings, monkeypatch):
    settings.FEED_LOOK_SECONDS = 0.3
    await reader.open(0)
    monkeypatch.setattr("rooms.services.wake_soon", lambda group, newest: None)
    await publish(room, user, "quiet")
    assert (await reader.frame())["text"] == "quiet"


async def test_without_redis_messages_arrive(reader, room, user, settings, unreachable_redis):
    settings.FEED_LOOK_SECONDS = 0.3
    await reader.open(0)
    await publish(room, user, "stored")
    assert (await reader.frame())["text"] == "stored"
