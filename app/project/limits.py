"""How much one user may ask of one process."""

import functools
import threading
import time

from django.conf import settings

KNOWN_MOST = 10_000


class Allowance:
    """So many events a second for each user, `burst` of them at once. Counted per process, in memory."""

    def __init__(self, rate, burst):
        self.rate, self.burst = rate, burst
        self._left = {}  # user id -> (events left, when that was counted)
        self._lock = threading.Lock()

    def take(self, user_id):
        """Take one event; return 0, or after how many seconds there is one again."""
        now = time.monotonic()
        with self._lock:
            left, counted = self._left.get(user_id, (self.burst, now))
            left = min(self.burst, left + (now - counted) * self.rate)
            if left < 1:
                return (1 - left) / self.rate
            self._left[user_id] = left - 1, now
            if len(self._left) > KNOWN_MOST:
                self._forget(now)
        return 0

    def _forget(self, now):
        """Drop those who have everything back: they are as good as unknown."""
        full = self.burst / self.rate
        self._left = {user_id: entry for user_id, entry in self._left.items() if now - entry[1] < full}


@functools.cache
def frames_allowance():
    """Return the process's allowance of what users send: frames of sockets, and messages over HTTP."""
    return Allowance(settings.FRAMES_PER_SECOND, settings.FRAMES_BURST)
