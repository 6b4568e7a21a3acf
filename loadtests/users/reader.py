"""Readers of rooms: each has a way to receive (a line), checks its sequence, and measures how long messages took.

`delivery` is the time from the intended start of a publish until a reader has the message; `publish` is the time until
the server has acknowledged that it is stored.
"""

import math
from typing import Any

from .account import AccountUser
from .lines import EventsLine, FrameLine, LongPollingLine, PollingLine, RefreshLine
from .messages import Sequence, read_mark
from .mqtt import MqttLine
from .recorder import RECORDER
from .socketline import SocketLine

LINES = {
    "websocket": SocketLine,
    "sse": EventsLine,
    "long-polling": LongPollingLine,
    "polling": PollingLine,
    "iframe": FrameLine,
    "refresh": RefreshLine,
    "mqtt": MqttLine,
}


class Reader:
    """One member of one room whose delay is measured."""

    def __init__(self, user: AccountUser, room: str, last: int, place: int) -> None:
        self.user = user
        self.room = room
        self.place = place
        self.sequence = Sequence(last)
        self.line = LINES[user.options.transport](self)

    def open(self) -> None:
        """Raises NotReady."""
        self.line.open()
        RECORDER.members[self.room] += 1

    def close(self) -> None:
        RECORDER.members[self.room] -= 1
        self.line.close()

    def received(self, message: dict[str, Any], at: float) -> None:
        """Check one message that arrived at `at` (monotonic seconds) and record how long it took."""
        if not self.sequence.take(message["id"], at):
            return
        found = read_mark(message["text"])
        if not found or not found.measured:
            return
        RECORDER.counters["deliveries"] += 1
        if found.intended is not None and RECORDER.in_window(found.intended):
            RECORDER.outstanding += 1  # `answered` takes it away again
            RECORDER.answered("DELIVER", "delivery", found.intended, found.intended, at)
            self.user.environment.events.request.fire(
                request_type="DELIVER",
                name="delivery",
                response_time=(at - found.intended) * 1000,
                response_length=len(message["text"]),
                exception=None,
                context={},
            )


class ReadingUser(AccountUser):
    """Holds readers and publishes into their rooms."""

    abstract = True

    readers: list[Reader]

    def readers_in_all(self) -> int:
        """How many readers the users have together; 0: one each."""
        return self.options.probes

    def prepare(self) -> None:
        super().prepare()
        self.readers = []
        self.turn = 0
        each = math.ceil(self.readers_in_all() / self.paced_users()) or 1
        rooms = self.rooms()
        for place in range(each):
            room = rooms[(self.number - 1 + place * self.paced_users()) % len(rooms)]
            self.readers.append(Reader(self, room, self.enter_room(room), place))
            self.readers[-1].open()

    def rate(self) -> float:
        return self.options.message_rate

    def on_stop(self) -> None:
        super().on_stop()
        if self.is_ready:
            for reader in self.readers:
                reader.close()

    def send(self, intended: float) -> None:
        """Publish one message into the room of one of the readers, in turn."""
        reader = self.readers[self.turn % len(self.readers)]
        self.turn += 1
        publish = reader.line.publish if isinstance(reader.line, SocketLine) else self.post
        self.publish(intended, reader.room, publish)
