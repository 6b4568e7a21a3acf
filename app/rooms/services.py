"""What changes rooms and messages. Views, consumers and commands call these, and nothing else writes."""

from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from notifications.services import mentions_notify
from project.wake import wake_soon

from .models import Message, Room
from .retention import prune_if_due


class MessageRefused(ValueError):
    """A message that cannot be stored; `code` is for programs, the text for people."""

    def __init__(self, code, detail):
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True)
class Published:
    """The id of a stored message; `created` is false when its key had stored it before."""

    id: int
    created: bool


@dataclass(frozen=True)
class Draft:
    """A message that is to be stored together with others."""

    author: object
    text: str
    key: str | None = None


def room_group(room_id):
    return f"room.{room_id}"


def room_create(*, name, created_by):
    """Create a room with an address made from its name; raise MessageRefused if that is taken or empty."""
    slug = slugify(name)[:60]
    if not slug:
        raise MessageRefused("name", "The name needs a letter or a digit.")
    room, created = Room.objects.get_or_create(slug=slug, defaults={"name": name, "created_by": created_by})
    if not created:
        raise MessageRefused("name", f"There is a room at this address already: {slug}.")
    return room


def message_publish(*, room_id, author, text, key=None):
    """Store a message, then wake the room's readers once it is committed.

    Raises MessageRefused for a text or a key that cannot be stored, Room.DoesNotExist for a room that is gone.
    """
    text, key = _checked(text, key)
    with transaction.atomic():
        # The lock is held until commit: a higher number is never visible before a lower one.
        room = Room.objects.select_for_update().only("id", "newest").get(pk=room_id)
        if key is not None:
            known = Message.objects.filter(room=room, author=author, key=key).values_list("number", flat=True).first()
            if known is not None:
                return Published(id=known, created=False)
        number = room.newest + 1
        Room.objects.filter(pk=room_id).update(newest=number)
        message = Message.objects.create(room=room, number=number, author=author, text=text, key=key, sent_at=timezone.now())
        mentions_notify(message=message)
        transaction.on_commit(lambda: wake_soon(room_group(room_id), number))
        # The message is stored: pruning may fail, publishing has not.
        transaction.on_commit(lambda: prune_if_due(room_id, number, number), robust=True)
    return Published(id=number, created=True)


def messages_publish(*, room_id, drafts):
    """Store several messages of a room in one transaction, in their order, then wake its readers once.

    Returns for each draft what became of it: Published, or the MessageRefused that message_publish would have raised.
    Raises Room.DoesNotExist for a room that is gone.
    """
    outcomes, fit, new = [None] * len(drafts), [], []
    for index, draft in enumerate(drafts):
        try:
            fit.append((index, draft.author, *_checked(draft.text, draft.key)))
        except MessageRefused as refusal:
            outcomes[index] = refusal
    with transaction.atomic():
        room = Room.objects.select_for_update().only("id", "newest").get(pk=room_id)
        known = _numbers_of_keys(room, [(author, key) for _, author, _, key in fit if key is not None])
        number, sent_at = room.newest, timezone.now()
        for index, author, text, key in fit:
            if key is not None and (author.pk, key) in known:
                outcomes[index] = Published(id=known[author.pk, key], created=False)
                continue
            number += 1
            if key is not None:
                known[author.pk, key] = number
            new.append(Message(room=room, number=number, author=author, text=text, key=key, sent_at=sent_at))
            outcomes[index] = Published(id=number, created=True)
        if new:
            Room.objects.filter(pk=room_id).update(newest=number)
            for message in Message.objects.bulk_create(new):
                mentions_notify(message=message)
            transaction.on_commit(lambda: wake_soon(room_group(room_id), number))
            transaction.on_commit(lambda: prune_if_due(room_id, new[0].number, number), robust=True)
    return outcomes


def _numbers_of_keys(room, keyed):
    """Return {(author's id, key): number} of the keys that are stored already."""
    if not keyed:
        return {}
    authors, keys = {author.pk for author, _ in keyed}, {key for _, key in keyed}
    stored = Message.objects.filter(room=room, author__in=authors, key__in=keys)
    return {(author, key): number for author, key, number in stored.values_list("author", "key", "number")}


def _checked(text, key):
    if not isinstance(text, str) or not text.strip():
        raise MessageRefused("text", "A message needs a text.")
    if len(text) > settings.MESSAGE_MAX_LENGTH:
        raise MessageRefused("text", f"The text has {len(text)} characters; {settings.MESSAGE_MAX_LENGTH} are allowed.")
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise MessageRefused("text", "The text holds a character that cannot be stored.")
    if key is not None and (not isinstance(key, str) or not 0 < len(key) <= 64 or not key.isprintable()):
        raise MessageRefused("key", "A key is a string of 1 to 64 printable characters.")
    return text.strip(), key
