"""Watches the sessions of those who hold a socket or a stream, and has them leave when theirs is over."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import Error

from project import codes
from project.feed import in_database
from project.wake import Listener, background_loop, hub

from .sessions import GROUP, sessions_over

logger = logging.getLogger(__name__)
CHUNK = 500  # sessions in one query


@dataclass(frozen=True, eq=False)
class Visitor:
    """Who holds a socket or a stream; `leave(code, reason)` ends it."""

    user_id: int
    session_key: str
    leave: Callable


class Watch(Listener):
    """All visitors of an event loop: checked on a clock, and at once when a user logs out or is changed anywhere.

    At a logout every visitor of that user leaves; who has another session that holds is told to come back.
    """

    def __init__(self):
        super().__init__()
        self._visitors = {}  # user id -> visitors
        self._called = set()  # ids of users
        self._task = None

    def count(self, user_id):
        return len(self._visitors.get(user_id, ()))

    def visitors(self):
        return [visitor for visitors in self._visitors.values() for visitor in visitors]

    def enter(self, visitor):
        self._visitors.setdefault(visitor.user_id, set()).add(visitor)
        if self._task is None:
            hub().join(GROUP, self)
            self._task = asyncio.create_task(self._run(), context=Context())

    def go(self, visitor):
        visitors = self._visitors[visitor.user_id]
        visitors.discard(visitor)
        if not visitors:
            del self._visitors[visitor.user_id]

    def wake(self, newest=0):
        if newest in self._visitors:
            self._called.add(newest)
            self.event.set()

    async def _run(self):
        while True:
            await self.wait(settings.SESSION_CHECK_SECONDS * random.uniform(0.8, 1.2))
            called, self._called = self._called, set()
            try:
                # Not called by name: the clock, or Redis came back and names were missed.
                await self._check(called or self._visitors.keys(), called)
            except Error as error:
                logger.warning("Sessions not checked, the next look tries again: %s", error)
                self._called |= called
            except Exception:
                logger.exception("Sessions not checked")

    async def _check(self, user_ids, called):
        visitors = [visitor for user_id in user_ids for visitor in self._visitors.get(user_id, ())]
        keys = list({visitor.session_key for visitor in visitors})
        over = set()
        for start in range(0, len(keys), CHUNK):
            over |= await in_database(sessions_over)(keys[start : start + CHUNK])
        for visitor in visitors:
            if visitor.session_key in over:
                visitor.leave(codes.SESSION_OVER, "the session is over")
            elif visitor.user_id in called:
                visitor.leave(codes.ASK_AGAIN, "logged out elsewhere")


_watches = WeakKeyDictionary()  # event loop -> its watch


def watch():
    """Return the watch of the running event loop."""
    return _watches.setdefault(asyncio.get_running_loop(), Watch())


@contextmanager
def watched_blocking(visitor):
    """Watch a visitor from a thread without an event loop; `leave` is called in another thread."""
    loop = background_loop()
    loop.call_soon_threadsafe(lambda: watch().enter(visitor))
    try:
        yield
    finally:
        loop.call_soon_threadsafe(lambda: watch().go(visitor))
