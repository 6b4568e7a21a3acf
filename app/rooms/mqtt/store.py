"""Takes what came from the broker into the feed, several messages at a time."""

import json
import logging
from dataclasses import dataclass
from secrets import token_hex

from django.contrib.auth import get_user_model
from django.db import IntegrityError

from rooms.models import Message, Room
from rooms.services import Draft, MessageRefused, messages_publish

from .topics import Request, reply_topic

logger = logging.getLogger(__name__)

REDELIVERY_WINDOW = 2_000  # messages of a room among which one that comes again is looked for


@dataclass(frozen=True)
class Asked:
    """A request with its body: `reply` is where the answer goes, `wants_ack` whether a stored publish is answered."""

    request: Request
    body: dict
    reply: str
    wants_ack: bool
    mid: int
    dup: bool
    refusal: MessageRefused | None = None


def asked(request, event):
    """Read a message of the broker; what is wrong with it stands in `refusal`."""
    refusal, body = None, {}
    try:
        body = json.loads(event["payload"])
    except ValueError:
        refusal = MessageRefused("json", "The payload is not JSON.")
    if not refusal and not isinstance(body, dict):
        refusal, body = MessageRefused("type", "The payload is no JSON object."), {}
    reply = reply_topic(request.user, body.get("reply"))
    if reply is None:
        refusal = refusal or MessageRefused("reply", f"A reply goes to replies/{request.user} or below it.")
        reply = reply_topic(request.user, None)
    if len(request.user) > 150:  # as long as Django's names are
        refusal = MessageRefused("user", "The user's name is too long.")
    mid = event["mid"] if event["qos"] else 0
    return Asked(request, body, reply, bool(body.get("reply")), mid, event["dup"], refusal)


def store(batch):
    """Store publishes in their order; return an answer for each, Published or MessageRefused.

    A room's messages are one transaction. Raises a database error if something could not be stored: nothing is lost
    when the whole batch is tried again, because each message has a key by then.
    """
    users = _users({item.request.user for item in batch if not item.refusal})
    rooms = dict(Room.objects.filter(slug__in={item.request.room for item in batch}).values_list("slug", "pk"))
    outcomes = [item.refusal for item in batch]
    of_room = {}
    for index, item in enumerate(batch):
        if outcomes[index] is None:
            room, author = rooms.get(item.request.room), users.get(item.request.user)
            if room is None:
                outcomes[index] = MessageRefused("room", "There is no such room.")
            elif author is None:
                outcomes[index] = MessageRefused("user", "This user may not publish.")
            else:
                of_room.setdefault(room, []).append((index, author, item))
    for room, found in of_room.items():
        try:
            results = messages_publish(room_id=room, drafts=_drafts(room, found))
        except Room.DoesNotExist:
            results = [MessageRefused("room", "This room is gone.")] * len(found)
        for (index, _, _), result in zip(found, results, strict=True):
            outcomes[index] = result
    return outcomes


def _users(names):
    """Return the active users by name. Whom the broker knows and Django does not is made, without a password."""
    User = get_user_model()
    for name in names - set(User.objects.filter(username__in=names).values_list("username", flat=True)):
        try:
            User.objects.create_user(name)
            logger.info("Made the user %s, whom the broker let in", name)
        except IntegrityError:
            logger.info("The user %s was made by somebody else", name)
    return {user.username: user for user in User.objects.filter(username__in=names, is_active=True)}


def _drafts(room, found):
    """Return the messages as drafts. One of QoS 1 without a key gets one, which begins with its packet id."""
    again = [(author, item) for _, author, item in found if item.dup and item.body.get("key") is None]
    stored = _keys_of_stored(room, again) if again else {}
    drafts = []
    for _, author, item in found:
        text, key = item.body.get("text"), item.body.get("key")
        if key is None and item.mid:
            prefix = f"mqtt-{item.mid}-"
            known = stored.get((author.pk, text.strip(), prefix)) if item.dup and isinstance(text, str) else None
            key = known or prefix + token_hex(6)
        drafts.append(Draft(author=author, text=text, key=key))
    return drafts


def _keys_of_stored(room, again):
    """Return {(author's id, text, beginning of the key): key} of what may have been stored without being acknowledged.

    The broker sends such a message again under the same packet id, marked as a duplicate. Packet ids come round after
    65,535 messages, so only the newest messages of the room are looked at.
    """
    newest = Room.objects.values_list("newest", flat=True).get(pk=room)
    recent = Message.objects.filter(room=room, number__gt=newest - REDELIVERY_WINDOW, key__startswith="mqtt-")
    rows = recent.filter(author__in={author.pk for author, _ in again}).order_by("number").values_list("author", "text", "key")
    return {(author, text, key[: key.rindex("-") + 1]): key for author, text, key in rows}
