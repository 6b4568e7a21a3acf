"""Flow control in both directions: a slow client holds the application, a slow application holds the client."""

import asyncio

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer


@implementer(IPushProducer)
class SendGate:
    """Shut while the transport's buffer is over 64 KiB, open again when the client has read it."""

    def __init__(self, on_open=lambda: None):
        self.on_open = on_open
        self._open = asyncio.Event()
        self._open.set()
        self._released = False

    @property
    def shut(self):
        return not self._open.is_set()

    def pauseProducing(self):
        if not self._released:
            self._open.clear()

    def resumeProducing(self):
        self._open.set()
        self.on_open()

    def stopProducing(self):
        self.release()

    def release(self):
        """Open for good: the connection is going, and nobody may wait for it any more."""
        self._released = True
        self._open.set()

    async def wait(self, limit):
        """Returns False if it was still shut after `limit` seconds."""
        try:
            async with asyncio.timeout(limit):
                while self.shut:
                    await self._open.wait()
        except TimeoutError:
            return False
        return True


class ReceiveQueue(asyncio.Queue):
    """The messages an application has not taken yet. Calls `pause` above `high` bytes, `resume` below half."""

    def __init__(self, high, pause, resume):
        super().__init__()
        self.high, self.pause, self.resume = high, pause, resume
        self.size, self.paused = 0, False

    def _put(self, item):
        super()._put(item)
        self.size += cost(item)
        if not self.paused and self.size > self.high:
            self.paused = True
            self.pause()

    def _get(self):
        item = super()._get()
        self.size -= cost(item)
        if self.paused and self.size <= self.high // 2:
            self.paused = False
            self.resume()
        return item


def cost(message):
    """About what a message takes in memory: an empty one is not free."""
    return len(message.get("text") or message.get("bytes") or "") + 256
