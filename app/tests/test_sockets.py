import asyncio
import logging

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model

from accounts import sessions
from project import wake

from .conftest import PATIENCE, Socket, publish

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/ws/rooms/garden/"


async def test_anonymous_users_are_refused_before_accept(room):
    for path in (PATH, "/ws/notifications/"):
        assert await Socket(path).connect() == (False, 1000)


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://testserver", "http://app.example.org", "https://testserver:8443", "null", None],
)
async def test_another_origin_is_refused_and_the_log_says_who_and_which_setting(room, session, origin, caplog):
    with caplog.at_level(logging.WARNING):
        assert (await Socket(PATH, session, origin).connect())[0] is False
    refusal = caplog.records[-1]
    assert "CSRF_TRUSTED_ORIGINS" in refusal.getMessage()
    assert refusal.origin == (origin or "(none)")
    assert refusal.expected == ["https://testserver", "https://*.example.org"]


async def test_a_subdomain_that_the_setting_allows_is_let_in(room, session):
    socket = Socket(PATH, session, "https://app.example.org")
    assert (await socket.open())["type"] == "subscribed"
    await socket.disconnect()


async def test_an_unknown_path_is_refused(session):
    assert (await Socket("/ws/elsewhere/", session).connect())[0] is False


async def test_a_room_that_does_not_exist_closes_with_do_not_come_back(session):
    socket = Socket("/ws/rooms/nowhere/", session)
    assert (await socket.connect())[0]
    assert (await socket.receive_output())["code"] == 4004


async def test_two_people_chat(room, session, other_session):
    ada, grace = Socket(PATH, session), Socket(PATH, other_session)
    await ada.open(), await grace.open()
    await ada.send_json_to({"type": "publish", "text": "hello", "key": "k1"})
    frames = await ada.frames(2)
    assert {"type": "ack", "id": 1, "key": "k1"} in frames
    message = await grace.frame()
    assert message in frames
    assert message["type"] == "message" and message["id"] == 1 and message["room"] == "garden"
    assert message["author"] == "ada" and message["text"] == "hello"
    assert message["sent_at"].startswith("20") and isinstance(message["sent_ts"], float)
    await ada.disconnect(), await grace.disconnect()


async def test_without_redis_messages_are_stored_acknowledged_and_delivered(room, session, settings, caplog, unreachable_redis):
    settings.FEED_LOOK_SECONDS = 0.3
    socket = Socket(PATH, session)
    await socket.open(0)
    await socket.send_json_to({"type": "publish", "text": "stored"})
    assert sorted(frame["type"] for frame in await socket.frames(2)) == ["ack", "message"]
    await socket.disconnect()


async def test_a_wrong_frame_gets_an_error_and_the_socket_stays(room, session):
    socket = Socket(PATH, session)
    await socket.connect()
    for text, code in [
        ("{", "json"),
        ("[" * 20_000, "json"),
        ("[]", "type"),
        ('{"type": 1}', "type"),
        ('{"type": "dance"}', "type"),
        ('{"type": "subscribe", "after": -1}', "after"),
        ('{"type": "subscribe", "after": true}', "after"),
        ('{"type": "publish"}', "text"),
        ('{"type": "publish", "text": "a", "key": 1}', "key"),
        (" " * (64 * 1024 + 1), "size"),
    ]:
        await socket.send_to(text_data=text)
        error = await socket.frame()
        assert (error["type"], error["code"]) == ("error", code)
    await socket.send_to(bytes_data=b"\x00")
    assert (await socket.frame())["code"] == "json"
    assert (await socket.ask(type="subscribe", after=None))["type"] == "subscribed"
    assert (await socket.ask(type="subscribe", after=None))["code"] == "subscribed"
    await socket.disconnect()


async def test_a_mention_arrives_on_the_notifications_socket(room, user, other_session):
    socket = Socket("/ws/notifications/", other_session)
    await socket.open(0)
    await publish(room, user, "hello @grace")
    frame = await socket.frame()
    assert (frame["type"], frame["id"], frame["author"], frame["room"]) == ("notification", 1, "ada", "garden")
    assert (await socket.ask(type="publish", text="no"))["code"] == "type"
    await socket.disconnect()


async def test_when_the_last_reader_leaves_its_group_is_left(room, session):
    socket = Socket(PATH, session)
    await socket.open()
    await until(lambda: wake.hub().joined >= {f"room.{room.pk}"})
    await socket.disconnect()
    await until(lambda: wake.hub().joined == {sessions.GROUP})


async def until(condition):
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_user_who_is_gone_is_refused(room, session, user):
    await sync_to_async(get_user_model().objects.all().delete)()
    assert (await Socket(PATH, session).connect())[0] is False
