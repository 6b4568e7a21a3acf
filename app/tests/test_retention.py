from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.utils import timezone

from rooms import retention
from rooms.models import Message
from rooms.services import Draft, message_publish, messages_publish

from .conftest import publish
from .readers import AsgiAnswer, StreamReader

pytestmark = pytest.mark.django_db(transaction=True)


def kept():
    return list(Message.objects.order_by("number").values_list("number", flat=True))


def test_publishing_keeps_the_newest_messages_of_a_room(room, user, settings, monkeypatch):
    settings.FEED_RETENTION_COUNT = 10
    monkeypatch.setattr(retention, "PRUNE_EVERY", 5)
    for number in range(24):
        message_publish(room_id=room.pk, author=user, text=str(number))
    assert kept() == list(range(11, 25))
    messages_publish(room_id=room.pk, drafts=[Draft(user, "a"), Draft(user, "b")])
    assert kept() == list(range(17, 27))


def test_a_prune_is_bounded_and_the_command_goes_on_until_it_is_done(room, user, settings, monkeypatch, capsys):
    for number in range(9):
        message_publish(room_id=room.pk, author=user, text=str(number))
    settings.FEED_RETENTION_COUNT = 2
    monkeypatch.setattr(retention, "PRUNE_MOST", 3)
    assert retention.room_prune(room_id=room.pk) == 3
    assert kept() == list(range(4, 10))
    call_command("feed_prune")
    assert kept() == [8, 9] and "garden: 4 messages pruned" in capsys.readouterr().out


def test_old_messages_go_and_what_stays_has_no_holes(room, user, settings):
    for number in range(5):
        message_publish(room_id=room.pk, author=user, text=str(number))
    old = timezone.now() - timedelta(days=8)
    Message.objects.filter(number__in=(1, 2, 4)).update(sent_at=old)
    settings.FEED_RETENTION_DAYS = 7
    call_command("feed_prune")
    assert kept() == [3, 4, 5]


def test_zero_keeps_everything(room, user, settings):
    settings.FEED_RETENTION_COUNT = 0
    message_publish(room_id=room.pk, author=user, text="kept")
    assert retention.room_prune(room_id=room.pk) == 0


async def test_a_reader_that_pruning_overtakes_is_told_so(room, user, session, settings, monkeypatch):
    settings.FEED_LOOK_SECONDS = 0.3
    reader = StreamReader(session, AsgiAnswer, "events")
    await reader.open(0)
    monkeypatch.setattr("rooms.services.wake_soon", lambda group, newest: None)
    settings.FEED_TAIL_SIZE = settings.FEED_PAGE_SIZE = 1
    await publish(room, user, "one", "two", "three")
    await sync_to_async(Message.objects.filter(number__lte=2).delete)()
    name, recovery = await reader.event()
    assert (name, recovery["recovered"], recovery["after"]) == ("recovery", False, 3)
    await reader.close()
