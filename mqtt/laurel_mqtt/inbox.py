"""The events that the application has not taken yet."""

import asyncio
from collections import deque


class Inbox:
    """A queue of events. At most `limit` QoS 0 messages wait in it; the session's receive maximum bounds the others.

    Reading is never stopped instead: acknowledgements of what we publish come over the same connection, and an
    application that waits for one while nothing is read would wait for ever.
    """

    def __init__(self, limit):
        self.limit = limit
        self.dropped = 0  # QoS 0 messages that found no place
        self._events = deque()
        self._unpromised = 0  # QoS 0 messages in it
        self._filled = asyncio.Event()

    def __len__(self):
        return len(self._events)

    def put(self, event):
        """Return False for a QoS 0 message that was dropped."""
        if is_unpromised(event):
            if self._unpromised >= self.limit:
                self.dropped += 1
                return False
            self._unpromised += 1
        self._events.append(event)
        self._filled.set()
        return True

    async def get(self):
        while not self._events:
            self._filled.clear()
            await self._filled.wait()
        event = self._events.popleft()
        self._unpromised -= is_unpromised(event)
        return event

    def give_back(self):
        """Forget the QoS 1 messages that nobody has taken: not acknowledged, the broker sends them again."""
        kept = [event for event in self._events if event["type"] != "mqtt.message" or is_unpromised(event)]
        self._events = deque(kept)


def is_unpromised(event):
    return event["type"] == "mqtt.message" and event["qos"] == 0
