from functools import partial

from project.feed import Feed

from .selectors import message_frame, messages_after, room_position
from .services import room_group


def room_feed(room_id):
    """Return the feed of a room's messages."""
    return Feed(room_group(room_id), partial(frames_after, room_id), partial(room_position, room_id=room_id))


def frames_after(room_id, after, limit):
    return [message_frame(message) for message in messages_after(room_id=room_id, after=after, limit=limit)]
