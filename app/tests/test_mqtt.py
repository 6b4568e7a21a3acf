"""The feed over MQTT: the consumer, with an event loop's worth of a broker in place of the server."""

import asyncio
import json
import threading

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection

from project.wake import hub
from rooms.models import Message, Room
from rooms.mqtt import bridge as bridge_module
from rooms.mqtt import leader
from rooms.services import Draft, MessageRefused, Published, messages_publish, room_group

from .broker import AFTER, Broker
from .conftest import PATIENCE, publish, texts

pytestmark = pytest.mark.django_db(transaction=True)
PUBLISH, MESSAGES = "rooms/garden/publish/ada", "rooms/garden/messages"


async def mirrored(room):
    """Return once the mirror follows a room: it has looked, and what is published from now on is new to it."""
    async with asyncio.timeout(PATIENCE):
        while room_group(room.pk) not in hub()._listeners:
            await asyncio.sleep(0.01)


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture
async def server(broker, room):
    async with broker.server() as server:
        await asyncio.wait_for(server.connected.wait(), PATIENCE)
        await mirrored(room)
        yield server


stored = sync_to_async(lambda: list(Message.objects.order_by("number").values_list("number", "text", "author__username")))


# --- to the feed


async def test_a_message_is_stored_before_it_is_acknowledged(server):
    await server.acknowledged(server.deliver(PUBLISH, {"text": "21.5"}))
    assert await stored() == [(1, "21.5", "ada")]


async def test_many_messages_are_stored_in_their_order(server):
    for number in range(300):
        last = server.deliver(PUBLISH, {"text": str(number)})
    await server.acknowledged(last)
    assert await stored() == [(number + 1, str(number), "ada") for number in range(300)]


async def test_a_publish_that_is_repeated_with_its_key_answers_with_the_first_id(server):
    for _ in range(2):
        server.deliver(PUBLISH, {"text": "once", "key": "k1", "reply": "replies/ada/acks"})
    assert await server.replies(2, "replies/ada/acks") == [{"type": "ack", "id": 1, "key": "k1"}] * 2
    assert len(await stored()) == 1


async def test_a_message_without_a_key_that_is_delivered_again_is_stored_once(server):
    mid = server.deliver(PUBLISH, {"text": "no key"})
    await server.acknowledged(mid)
    server.disconnect()
    server.connect()
    server.deliver(PUBLISH, {"text": "no key"}, mid=mid, dup=True)
    await server.acknowledged(mid)
    assert len(await stored()) == 1


async def test_equal_messages_without_a_key_are_all_stored_also_under_a_packet_id_that_came_round(server):
    for mid in (7, 8, 7):
        server.deliver(PUBLISH, {"text": "21.5"}, mid=mid)
    await server.acknowledged(7), await server.acknowledged(8), await server.acknowledged(7)
    assert len(await stored()) == 3


async def test_a_redelivered_message_that_was_never_stored_is_stored(server):
    await server.acknowledged(server.deliver(PUBLISH, {"text": "lost with its server"}, dup=True))
    assert len(await stored()) == 1


async def test_whom_the_broker_let_in_and_django_does_not_know_gets_a_user_without_a_password(server):
    await server.acknowledged(server.deliver("rooms/garden/publish/sensor", {"text": "21.5"}))
    sensor = await get_user_model().objects.aget(username="sensor")
    assert not sensor.has_usable_password()
    assert (await stored())[0][2] == "sensor"


@pytest.mark.parametrize(
    ("topic", "body", "code"),
    [
        (PUBLISH, b"21.5 degrees", "json"),
        (PUBLISH, b"\xff", "json"),
        (PUBLISH, b"[1]", "type"),
        (PUBLISH, {}, "text"),
        (PUBLISH, {"text": "x" * 4001}, "text"),
        (PUBLISH, {"text": "a\0b"}, "text"),
        (PUBLISH, {"text": "x", "key": 5}, "key"),
        (PUBLISH, {"text": "x", "reply": "replies/grace"}, "reply"),
        (PUBLISH, {"text": "x", "reply": "replies/ada/#"}, "reply"),
        ("rooms/nowhere/publish/ada", {"text": "x"}, "room"),
        ("rooms/nowhere/after/ada", {"after": 0}, "room"),
        (AFTER, {"after": "1"}, "after"),
        (AFTER, {"after": -1}, "after"),
        (AFTER, {"after": True}, "after"),
    ],
)
async def test_what_cannot_be_done_is_said_to_its_author_and_does_not_come_back(server, topic, body, code):
    mid = server.deliver(topic, body)
    assert (await server.reply())["code"] == code
    await server.acknowledged(mid)
    assert await stored() == []


async def test_a_deactivated_user_may_not_publish(server, user):
    await get_user_model().objects.filter(pk=user.pk).aupdate(is_active=False)
    server.deliver(PUBLISH, {"text": "x"})
    assert (await server.reply())["code"] == "user"


async def test_one_bad_message_does_not_hold_back_the_others(server):
    for body in ({"text": "one"}, b"nonsense", {"text": "two"}):
        last = server.deliver(PUBLISH, body)
    await server.acknowledged(last)
    assert [text for _, text, _ in await stored()] == ["one", "two"]


async def test_while_the_database_is_away_nothing_is_acknowledged_and_nothing_is_lost(server, monkeypatch):
    working, tries, back = bridge_module.store, threading.Semaphore(0), threading.Event()

    def failing(items):
        tries.release()
        if not back.is_set():
            raise OperationalError("the database is away")
        return working(items)

    monkeypatch.setattr(bridge_module, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(bridge_module, "store", failing)
    mid = server.deliver(PUBLISH, {"text": "patient"})
    for _ in range(2):
        assert await asyncio.to_thread(tries.acquire, timeout=PATIENCE)
    assert (server.connection, mid) not in list(server.broker.acknowledged._queue)
    assert await stored() == []
    back.set()
    await server.acknowledged(mid)
    assert len(await stored()) == 1


async def test_what_was_taken_is_stored_and_acknowledged_before_the_end(server):
    for number in range(50):
        last = server.deliver(PUBLISH, {"text": str(number)})
    await server.stop()
    await server.acknowledged(last)
    assert len(await stored()) == 50


# --- recovery: what a reader gets that names a position


async def test_an_empty_feed_is_recovered_from_the_start(server):
    subscribed, end = await server.after(0)
    position = {"after": 0, "recovered": True, "oldest": None, "newest": 0}
    assert subscribed == {"type": "subscribed", "room": "garden", **position}
    assert end == {"type": "end", "room": "garden", "after": 0, "newest": 0}


async def test_a_reader_goes_on_after_the_id_it_names(server, room, user):
    await publish(room, user, "one", "two", "three")
    subscribed, *messages, end = await server.after(1)
    assert (subscribed["recovered"], texts(messages), end["after"]) == (True, ["two", "three"], 3)


async def test_a_reader_at_the_newest_id_gets_nothing(server, room, user):
    await publish(room, user, "one")
    subscribed, end = await server.after(1)
    assert (subscribed["recovered"], end["after"]) == (True, 1)


@pytest.mark.parametrize(("after", "recovered"), [(1, False), (2, True), (4, True), (5, False)])
async def test_what_is_no_longer_kept_or_not_yet_there_is_said_and_nothing_is_given_in_part(server, room, user, after, recovered):
    await publish(room, user, "one", "two", "three", "four")
    await sync_to_async(Message.objects.filter(number__lte=2).delete)()
    subscribed, *messages, end = await server.after(after)
    assert (subscribed["recovered"], subscribed["oldest"], subscribed["newest"]) == (recovered, 3, 4)
    assert [frame["id"] for frame in messages] == (list(range(after + 1, 5)) if recovered else [])
    assert end["after"] == 4


async def test_more_than_a_page_is_asked_for_page_by_page(server, room, user, settings):
    settings.FEED_PAGE_SIZE = 4
    await publish(room, user, *"abcdefghij")
    after, received = 0, []
    while True:
        _, *messages, end = await server.after(after)
        received += texts(messages)
        after = end["after"]
        if after == end["newest"]:
            break
    assert "".join(received) == "abcdefghij"


async def test_the_answer_goes_to_a_topic_of_the_readers_own(server):
    assert (await server.after(0, reply="replies/ada/desk/1"))[0]["type"] == "subscribed"


# --- from the feed


async def test_a_message_of_the_feed_is_published_once_and_retained(server, broker, room, user):
    await publish(room, user, "from the web")
    frame = await server.reply(MESSAGES)
    assert (frame["id"], frame["author"], frame["text"]) == (1, "ada", "from the web")
    assert json.loads(broker.retained[MESSAGES]) == frame
    await asyncio.sleep(0.2)
    assert broker.published[MESSAGES].empty()


async def test_a_successor_goes_on_after_what_the_broker_has_been_told(broker, room, user):
    received = []
    for life in range(3):
        async with broker.server() as server:
            await asyncio.wait_for(server.connected.wait(), PATIENCE)
            if life == 0:
                await mirrored(room)
            received += await server.replies(2 if life else 0, MESSAGES)
            await publish(room, user, f"while {life} serves")
            received.append(await server.reply(MESSAGES))
            await server.kill()
        await publish(room, user, f"after {life}", f"still after {life}")
    assert [frame["id"] for frame in received] == list(range(1, 8))
    assert broker.published[MESSAGES].empty()


async def test_a_reader_that_joins_while_others_publish_misses_nothing_and_can_tell_what_it_has(server, room, user):
    writing = asyncio.create_task(publish(room, user, *map(str, range(60))))
    received, ended = [], None
    while ended != 60:
        _, *messages, end = await server.after(received[-1] if received else 0)
        received += [frame["id"] for frame in messages]
        ended = end["after"]
    await writing
    assert received == list(range(1, 61))
    assert [frame["id"] for frame in await server.replies(60, MESSAGES)] == received


async def test_a_room_that_the_broker_has_never_heard_of_begins_with_what_is_new(broker, room, user, settings):
    settings.FEED_LOOK_SECONDS = 0.1
    await publish(room, user, "old")
    async with broker.server() as server:
        await asyncio.wait_for(server.connected.wait(), PATIENCE)
        await mirrored(room)
        await publish(room, user, "new")
        assert (await server.reply(MESSAGES))["text"] == "new"
        meadow = await Room.objects.acreate(slug="meadow", name="Meadow")
        await publish(meadow, user, "first of a new room")
        assert (await server.reply("rooms/meadow/messages"))["id"] == 1


async def test_without_redis_messages_are_published_a_little_later(broker, room, user, settings, unreachable_redis):
    settings.FEED_LOOK_SECONDS = 0.2
    async with broker.server() as server:
        await asyncio.wait_for(server.connected.wait(), PATIENCE)
        await mirrored(room)
        await publish(room, user, "late")
        assert (await server.reply(MESSAGES))["text"] == "late"


# --- who leads


async def test_of_two_servers_one_speaks_and_the_other_takes_over_when_it_ends(broker, room, monkeypatch):
    monkeypatch.setattr(leader, "TRY_SECONDS", 0.1)
    async with broker.server() as first:
        await asyncio.wait_for(first.connected.wait(), PATIENCE)
        async with broker.server() as second:
            await asyncio.sleep(0.5)
            assert not second.connected.is_set()
            await first.stop()
            assert first.closed.is_set()
            await asyncio.wait_for(second.connected.wait(), PATIENCE)


async def test_who_loses_the_lock_leaves_the_broker_and_comes_back_when_it_has_it_again(broker, room, monkeypatch):
    monkeypatch.setattr(leader, "BEAT_SECONDS", 0.1)
    async with broker.server() as server:
        await asyncio.wait_for(server.connected.wait(), 10)
        server.connected.clear()
        # What PostgreSQL does to a leader it has not heard from: its connection ends, and the lock with it.
        assert await end_leader() == 1
        await asyncio.wait_for(server.closed.wait(), 10)
        await asyncio.wait_for(server.connected.wait(), 10)
        assert await end_leader() == 1  # it holds the lock again


@sync_to_async
def end_leader():
    """End the connections that hold the leader's lock; give how many there were."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks"
            " WHERE locktype = 'advisory' AND granted AND ((classid::bigint << 32) | objid::bigint) = %s",
            [leader.LOCK],
        )
        return cursor.fetchone()[0]


# --- the service


def test_several_messages_are_stored_as_each_alone_would_be(room, user, other):
    outcomes = messages_publish(
        room_id=room.pk,
        drafts=[Draft(user, " one ", "k"), Draft(user, ""), Draft(other, "two", "k"), Draft(user, "again", "k"), Draft(user, "@grace")],
    )
    assert isinstance(outcomes[1], MessageRefused)
    assert [outcomes[index] for index in (0, 2, 3, 4)] == [Published(1, True), Published(2, True), Published(1, False), Published(3, True)]
    assert list(Message.objects.values_list("text", flat=True)) == ["one", "two", "@grace"]
    assert other.notification_set.count() == 1
