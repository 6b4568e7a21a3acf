"""Listening from a thread without an event loop, as a WSGI worker has to: no loop is started for a request."""

import threading
from contextlib import contextmanager

from .wake import Listener, background_loop, hub


class BlockingListener(Listener):
    """A listener of a thread that has no event loop."""

    def __init__(self):
        super().__init__()
        self.event = threading.Event()

    def wait(self, seconds):
        """Return whether there was a wake-up within `seconds`."""
        woken = self.event.wait(seconds)
        self.event.clear()
        return woken


@contextmanager
def listen_blocking(group):
    """Listen from a thread without an event loop: the process's one background loop does, and sets the thread's event."""
    loop, listener = background_loop(), BlockingListener()
    loop.call_soon_threadsafe(lambda: hub().join(group, listener))
    try:
        yield listener
    finally:
        loop.call_soon_threadsafe(lambda: hub().leave(group, listener))
