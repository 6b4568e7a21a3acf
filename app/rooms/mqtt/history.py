"""What came after an id, for a subscriber that was away."""

from django.conf import settings

from project.recovery import is_recoverable
from rooms.models import Room
from rooms.selectors import message_frame, messages_after, room_get, room_position
from rooms.services import MessageRefused


def frames_after(room, after):
    """Return the frame `subscribed`, one page of messages, and the frame `end` with the id to ask after next.

    Raises MessageRefused for what is no id and for a room that does not exist.
    """
    if isinstance(after, bool) or not isinstance(after, int) or not 0 <= after < 2**63:
        raise MessageRefused("after", "`after` is an id: a whole number.")
    try:
        room_id = room_get(slug=room).pk
        oldest, newest = room_position(room_id=room_id)
    except Room.DoesNotExist:
        raise MessageRefused("room", "There is no such room.") from None
    recovered = is_recoverable(after, oldest=oldest, newest=newest)
    found = messages_after(room_id=room_id, after=after, limit=settings.FEED_PAGE_SIZE) if recovered else []
    after = after if recovered else newest
    position = {"after": after, "recovered": recovered, "oldest": oldest, "newest": newest}
    end = {"type": "end", "room": room, "after": found[-1].number if found else after, "newest": newest}
    return [{"type": "subscribed", "room": room, **position}, *map(message_frame, found), end]
