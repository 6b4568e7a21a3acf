"""What changes pictures. A picture is taken on the request path and made on the worker's."""

import asyncio
import logging
from datetime import timedelta
from pathlib import PurePath

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from rooms.services import message_publish

from .images import LARGE, SMALL, PictureRefused, picture_check, picture_shrink
from .models import Picture

logger = logging.getLogger(__name__)

CHANNEL = "thumbnails"
SEND_SECONDS = 2
ATTEMPTS = 3
CLAIM = timedelta(seconds=60)  # a worker that has not finished by then is taken for dead
WAITING_MAX = 20  # pictures of one person that may wait at a time


def picture_add(*, room, author, upload):
    """Store a picture that was sent, and ask the workers to make it; raise PictureRefused."""
    if upload.size > settings.PICTURE_BYTES:
        raise PictureRefused(f"The picture has {upload.size} bytes; {settings.PICTURE_BYTES} are allowed.")
    if Picture.objects.filter(author=author, state=Picture.WAITING).count() >= WAITING_MAX:
        raise PictureRefused(f"{WAITING_MAX} of your pictures are waiting already. Try again in a moment.")
    data = upload.read()
    picture_check(data, max_pixels=settings.PICTURE_PIXELS)
    picture = Picture.objects.create(room=room, author=author, name=_name_of(upload), upload=data)
    transaction.on_commit(lambda: _ask(picture.pk))
    return picture


def _name_of(upload):
    name = "".join(c for c in PurePath(upload.name or "").stem if c.isprintable()).strip()
    return name[:100] or "picture"


def _ask(picture_id):
    try:
        async_to_sync(_send)(picture_id)
    except Exception as error:
        # The picture is stored: the sweep finds it.
        logger.warning("Thumbnail job not sent: %s: %s", type(error).__name__, error, extra={"picture": picture_id})


async def _send(picture_id):
    async with asyncio.timeout(SEND_SECONDS):
        await get_channel_layer().send(CHANNEL, {"type": "picture.make", "picture": picture_id})


def picture_make(picture_id):
    """Make a picture's two sizes and publish it in its room, unless another worker is at it. Return whether we did."""
    picture = _claim(picture_id)
    if picture is None:
        return False
    try:
        data = bytes(picture.upload)
        made = {"small": picture_shrink(data, SMALL), "large": picture_shrink(data, LARGE)}
    except PictureRefused as refusal:
        _held(picture).update(state=Picture.FAILED, reason=str(refusal), upload=None)
        return True
    except Exception:
        # The claim runs out, and the sweep tries again.
        logger.exception("Picture not made", extra={"picture": picture_id})
        return False
    with transaction.atomic():
        # Ready and published in one transaction: neither happens without the other, or twice.
        if _held(picture).update(state=Picture.READY, upload=None, **made):
            address = reverse("picture-large", args=[picture.room.slug, picture.pk])
            message_publish(room_id=picture.room_id, author=picture.author, text=f"{picture.name}\n{address}")
    return True


def _claim(picture_id):
    """Return the picture if it is ours to make, else None: each worker may hear of each job."""
    now = timezone.now()
    with transaction.atomic():
        free = Q(claimed_at=None) | Q(claimed_at__lt=now - CLAIM)
        picture = (
            Picture.objects.select_for_update(skip_locked=True, of=["self"])
            .select_related("room", "author")
            .filter(free, pk=picture_id, state=Picture.WAITING, attempts__lt=ATTEMPTS)
            .first()
        )
        if picture is not None:
            # Counted before the work: a picture that kills its worker must not do so for ever.
            picture.attempts += 1
            picture.claimed_at = now
            picture.save(update_fields=["attempts", "claimed_at"])
    return picture


def _held(picture):
    """The picture, if nobody has claimed it after us."""
    return Picture.objects.filter(pk=picture.pk, state=Picture.WAITING, attempts=picture.attempts)


def pictures_sweep(*, older_than=timedelta(seconds=10)):
    """Make what was asked for and never made; give up what failed too often. Return how many were made."""
    now = timezone.now()
    waiting = Picture.objects.filter(state=Picture.WAITING)
    waiting.filter(attempts__gte=ATTEMPTS, claimed_at__lt=now - CLAIM).update(
        state=Picture.FAILED, reason=f"The picture could not be made in {ATTEMPTS} attempts.", upload=None
    )
    lost = waiting.filter(Q(claimed_at=None, uploaded_at__lt=now - older_than) | Q(claimed_at__lt=now - CLAIM)).order_by("uploaded_at")
    return sum(picture_make(pk) for pk in list(lost.values_list("pk", flat=True)[:100]))
