"""What changes notifications."""

import re

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import F

from project.wake import wake_soon

from .models import Inbox, Notification

# A name as Django's user names are; a full stop or the like at its end belongs to the sentence.
_MENTION = re.compile(r"(?<![\w@.+-])@([\w@.+-]{1,150})")
MENTIONS_MAX = 20  # people one message may notify


def user_group(user_id):
    return f"user.{user_id}"


def mentions_notify(*, message):
    """Notify each user that a message names with @name, except its author; part of the message's transaction."""
    names = mentioned_names(message.text)
    if not names:
        return
    users = get_user_model().objects.filter(username__in=names, is_active=True).exclude(pk=message.author_id)
    # Always locked in the same order: two messages that name the same people cannot wait for each other.
    for user in users.order_by("pk"):
        _notify(user, message)


def mentioned_names(text):
    if "@" not in text:
        return []
    names = {}
    for found in _MENTION.findall(text):
        names[found] = names[found.rstrip(".+-@")] = None
    return list(names)[: 2 * MENTIONS_MAX]


def _notify(user, message):
    Inbox.objects.get_or_create(user=user)
    Inbox.objects.filter(user=user).update(newest=F("newest") + 1)
    number = Inbox.objects.values_list("newest", flat=True).get(user=user)
    Notification.objects.create(user=user, number=number, message=message)
    transaction.on_commit(lambda: wake_soon(user_group(user.pk), number))


def notifications_mark_read(*, user, up_to):
    """Mark what a user has been shown as read, up to a number."""
    Inbox.objects.filter(user=user, read_up_to__lt=up_to, newest__gte=up_to).update(read_up_to=up_to)
