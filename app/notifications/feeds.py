from functools import partial

from project.feed import Feed

from .selectors import inbox_position, notification_frame, notifications_after
from .services import user_group


def inbox_feed(user_id):
    """Return the feed of the messages that name a user."""
    return Feed(user_group(user_id), partial(frames_after, user_id), partial(inbox_position, user_id=user_id))


def frames_after(user_id, after, limit):
    found = notifications_after(user_id=user_id, after=after, limit=limit)
    return [notification_frame(notification) for notification in found]
