"""What is read of rooms and messages."""

from django.db.models import Min

from .models import Message, Room


def room_list():
    return Room.objects.all()


def room_get(*, slug):
    """Return the room at an address; raise Room.DoesNotExist."""
    return Room.objects.get(slug=slug)


def messages_after(*, room_id, after, limit):
    """Return at most `limit` messages with a number above `after`, oldest first."""
    return list(_messages(room_id).filter(number__gt=after).order_by("number")[:limit])


def messages_before(*, room_id, number, limit):
    """Return at most `limit` messages up to a number, oldest first."""
    return list(_messages(room_id).filter(number__lte=number).order_by("-number")[:limit])[::-1]


def messages_latest(*, room_id, limit):
    """Return the newest `limit` messages, oldest first."""
    return list(_messages(room_id).order_by("-number")[:limit])[::-1]


def room_position(*, room_id):
    """Return (oldest, newest): the oldest number still kept or None, and the newest ever given."""
    newest = Room.objects.values_list("newest", flat=True).get(pk=room_id)
    oldest = Message.objects.filter(room_id=room_id).aggregate(Min("number"))["number__min"]
    return oldest, newest


def _messages(room_id):
    return (
        Message.objects.filter(room_id=room_id)
        .select_related("author", "room")
        .only("number", "text", "sent_at", "author__username", "room__slug")
    )


def message_frame(message):
    """Return a message as the frame that readers get."""
    return {
        "type": "message",
        "id": message.number,
        "room": message.room.slug,
        "author": message.author.username,
        "text": message.text,
        "sent_at": message.sent_at.isoformat(),
        "sent_ts": message.sent_at.timestamp(),
    }
