import threading

import pytest
from django.db import connection, transaction

from notifications.selectors import inbox_get, notifications_after
from notifications.services import mentioned_names
from rooms.models import Message, Room
from rooms.selectors import messages_after, messages_latest, room_position
from rooms.services import MessageRefused, message_publish, room_create

pytestmark = pytest.mark.django_db(transaction=True)


def numbers(messages):
    return [message.number for message in messages]


def test_messages_are_numbered_from_one_in_each_room(room, user):
    second = room_create(name="Second", created_by=user)
    assert [message_publish(room_id=room.pk, author=user, text="a").id for _ in range(3)] == [1, 2, 3]
    assert message_publish(room_id=second.pk, author=user, text="a").id == 1


def test_a_repeated_key_returns_the_first_id_and_stores_nothing(room, user):
    first = message_publish(room_id=room.pk, author=user, text="once", key="k1")
    again = message_publish(room_id=room.pk, author=user, text="once", key="k1")
    assert (first.id, first.created) == (1, True)
    assert (again.id, again.created) == (1, False)
    assert Message.objects.count() == 1


def test_a_key_belongs_to_its_author(room, user, other):
    assert message_publish(room_id=room.pk, author=user, text="mine", key="k1").id == 1
    assert message_publish(room_id=room.pk, author=other, text="mine too", key="k1").id == 2


def test_a_publish_that_is_rolled_back_gives_its_number_back(room, user):
    with pytest.raises(RuntimeError), transaction.atomic():
        message_publish(room_id=room.pk, author=user, text="never")
        raise RuntimeError
    assert message_publish(room_id=room.pk, author=user, text="first").id == 1


def test_a_lower_number_is_never_visible_after_a_higher_one(room, user):
    entered, leave = threading.Event(), threading.Event()

    def publish_slowly():
        with transaction.atomic():
            message_publish(room_id=room.pk, author=user, text="slow")
            entered.set()
            leave.wait(5)
        connection.close()

    def publish():
        message_publish(room_id=room.pk, author=user, text="quick")
        connection.close()

    slow, quick = threading.Thread(target=publish_slowly), threading.Thread(target=publish)
    slow.start()
    assert entered.wait(5)
    quick.start()
    quick.join(0.3)
    assert quick.is_alive(), "the second publish must wait for the first to commit"
    assert messages_after(room_id=room.pk, after=0, limit=9) == []
    leave.set()
    slow.join(5), quick.join(5)
    assert [message.text for message in messages_after(room_id=room.pk, after=0, limit=9)] == ["slow", "quick"]


@pytest.mark.parametrize("text", [None, 7, "", "  \n", "x" * 4001, "nul \x00", "half \ud800"])
def test_a_text_that_cannot_be_stored_is_refused(room, user, text):
    with pytest.raises(MessageRefused):
        message_publish(room_id=room.pk, author=user, text=text)
    assert room_position(room_id=room.pk) == (None, 0)


@pytest.mark.parametrize("key", ["", 7, "x" * 65, "a\nb"])
def test_a_key_that_is_no_short_text_is_refused(room, user, key):
    with pytest.raises(MessageRefused):
        message_publish(room_id=room.pk, author=user, text="a", key=key)


def test_publishing_to_a_room_that_is_gone_says_so(user):
    with pytest.raises(Room.DoesNotExist):
        message_publish(room_id=404, author=user, text="a")


def test_history_begins_after_the_id_that_is_named(room, user):
    for _ in range(5):
        message_publish(room_id=room.pk, author=user, text="a")
    assert numbers(messages_after(room_id=room.pk, after=2, limit=2)) == [3, 4]
    assert numbers(messages_latest(room_id=room.pk, limit=2)) == [4, 5]
    assert room_position(room_id=room.pk) == (1, 5)


def test_a_room_name_that_is_taken_or_empty_is_refused(room, user):
    for name in ("garden", "!!!"):
        with pytest.raises(MessageRefused):
            room_create(name=name, created_by=user)


def test_a_mention_notifies_the_person_once_and_not_the_author(room, user, other):
    message_publish(room_id=room.pk, author=user, text="@grace, @grace. and @ada and @nobody")
    assert numbers(notifications_after(user_id=other.pk, after=0, limit=9)) == [1]
    assert inbox_get(user_id=user.pk).newest == 0


def test_names_are_found_in_a_sentence_but_not_in_an_address():
    assert "grace" in mentioned_names("Ask @grace.")
    assert mentioned_names("mail me@example.org") == []
