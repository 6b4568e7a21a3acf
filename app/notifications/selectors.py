"""What is read of notifications."""

from django.db.models import Min

from .models import Inbox, Notification


def notifications_after(*, user_id, after, limit):
    """Return at most `limit` notifications with a number above `after`, oldest first."""
    return list(_notifications(user_id).filter(number__gt=after).order_by("number")[:limit])


def notifications_latest(*, user_id, limit):
    """Return the newest `limit` notifications, newest first."""
    return list(_notifications(user_id).order_by("-number")[:limit])


def inbox_get(*, user_id):
    """Return a user's inbox; one that nobody has written to is empty."""
    return Inbox.objects.filter(user_id=user_id).first() or Inbox(user_id=user_id)


def inbox_position(*, user_id):
    """Return (oldest, newest): the oldest number still kept or None, and the newest ever given."""
    newest = inbox_get(user_id=user_id).newest
    return Notification.objects.filter(user_id=user_id).aggregate(Min("number"))["number__min"], newest


def _notifications(user_id):
    return Notification.objects.filter(user_id=user_id).select_related("message__author", "message__room")


def notification_frame(notification):
    """Return a notification as the frame that its user gets."""
    message = notification.message
    return {
        "type": "notification",
        "id": notification.number,
        "room": message.room.slug,
        "message": message.number,
        "author": message.author.username,
        "text": message.text,
        "sent_at": message.sent_at.isoformat(),
        "sent_ts": message.sent_at.timestamp(),
    }
