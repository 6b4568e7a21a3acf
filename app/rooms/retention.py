"""How far back a room's messages are kept: FEED_RETENTION_COUNT of them, FEED_RETENTION_DAYS of time."""

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from .models import Message, Room

PRUNE_EVERY = 100  # publishes in a room
PRUNE_MOST = 500  # messages deleted at a time: more than come in meanwhile, few enough not to be noticed


def prune_if_due(room_id, first, last):
    """Prune a room in which `first` to `last` were published, once in PRUNE_EVERY messages."""
    if last // PRUNE_EVERY > (first - 1) // PRUNE_EVERY:
        room_prune(room_id=room_id)


def room_prune(*, room_id):
    """Delete the oldest messages of a room that need not be kept, PRUNE_MOST at most; return how many."""
    newest = Room.objects.values_list("newest", flat=True).get(pk=room_id)
    horizon = newest - settings.FEED_RETENTION_COUNT if settings.FEED_RETENTION_COUNT else 0
    days = settings.FEED_RETENTION_DAYS
    since = timezone.now() - timedelta(days=days) if days else None
    gone = []
    oldest = Message.objects.filter(room_id=room_id).order_by("number").values_list("pk", "number", "sent_at")
    for pk, number, sent_at in oldest[:PRUNE_MOST]:
        # From the oldest on and never past one that stays: what is kept has no holes.
        if number > horizon and (since is None or sent_at >= since):
            break
        gone.append(pk)
    Message.objects.filter(pk__in=gone).delete()
    return len(gone)
