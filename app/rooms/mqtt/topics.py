"""Which topic means what."""

from dataclasses import dataclass

PUBLISH = "rooms/+/publish/+"
AFTER = "rooms/+/after/+"
MESSAGES = "rooms/+/messages"
SYNC = "bridge/sync"  # our own word to ourselves: what was retained has all arrived before it


@dataclass(frozen=True)
class Request:
    """What a user asks of a room: `verb` is publish or after."""

    room: str
    verb: str
    user: str


def request_of(topic):
    """Return the request that a topic stands for, or None."""
    match topic.split("/"):
        case ["rooms", room, "publish" | "after" as verb, user]:
            return Request(room, verb, user)


def messages_topic(room):
    return f"rooms/{room}/messages"


def room_of_messages(topic):
    """Return the room whose messages a topic carries, or None."""
    match topic.split("/"):
        case ["rooms", room, "messages"]:
            return room


def reply_topic(user, wanted):
    """Return where a user is answered: the topic they want if it is their own, else None."""
    own = f"replies/{user}"
    if wanted is None:
        return own
    valid = isinstance(wanted, str) and len(wanted) <= 200 and not set(wanted) & set("+#\0")
    return wanted if valid and (wanted == own or wanted.startswith(f"{own}/")) else None
