"""The newest items of a feed, read from the database once per process and given to all its sockets."""

import asyncio
import functools
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import connections

from .metrics import feed_delay_seconds


@dataclass(frozen=True)
class Feed:
    """What can be read from a position on: ids increase and become visible in order, items never change."""

    group: str  # whose wake-up calls announce new items
    read: Callable  # read(after, limit) -> frames (dicts with "id"), oldest first
    position: Callable  # position() -> (oldest id kept or None, newest id ever given)


def in_database(function):
    """Return `function`, which uses the database, as a coroutine function: several run at a time, in threads."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        finally:
            # An idle thread holds no connection of the pool.
            connections.close_all()

    return database_sync_to_async(call, thread_sensitive=False)


class Tail:
    """The newest items of one feed, as [(id, JSON text)]; `read` is the feed's."""

    def __init__(self, read):
        self._read = in_database(read)
        self._items = deque()
        self._floor = self._newest = None  # every id above the floor, up to the newest, is in _items
        self._looked = 0.0
        self._lock = asyncio.Lock()

    def start(self, newest):
        """Begin at the newest id of the database, unless begun."""
        if self._newest is None:
            self._floor = self._newest = newest

    async def after(self, position, *, newest=0, since=0.0):
        """Return [(id, frame as JSON text)] after `position`, one page at most.

        The database is asked if `newest` is not here yet, or if nobody has looked since `since` (monotonic clock).
        """
        if position < self._floor:
            return encoded(await self._read(position, settings.FEED_PAGE_SIZE))
        if self._is_behind(newest, since):
            async with self._lock:
                # Who waited for the lock finds that the one before has read for all.
                if self._is_behind(newest, since):
                    await self._refresh()
        if position < self._floor:
            return encoded(await self._read(position, settings.FEED_PAGE_SIZE))
        items = [item for item in self._items if item[0] > position] if self._newest > position else []
        return items[: settings.FEED_PAGE_SIZE]

    def _is_behind(self, newest, since):
        return newest > self._newest or self._looked < since

    async def _refresh(self):
        begun = time.monotonic()
        frames = await self._read(self._newest, settings.FEED_PAGE_SIZE)
        if begun - self._looked < 2 * settings.FEED_LOOK_SECONDS:  # else nobody was here, and old ones are caught up with
            now = time.time()
            for frame in frames:
                feed_delay_seconds.observe(max(0, now - frame["sent_ts"]))
        items = encoded(frames)
        self._items.extend(items)
        if items:
            self._newest = items[-1][0]
        while len(self._items) > settings.FEED_TAIL_SIZE:
            self._floor = self._items.popleft()[0]
        if len(items) < settings.FEED_PAGE_SIZE:
            self._looked = begun  # a full page leaves more to read


def encoded(frames):
    """Return [(id, JSON text)] of frames."""
    return [(frame["id"], json.dumps(frame, ensure_ascii=False)) for frame in frames]


_tails = WeakValueDictionary()  # (event loop, group) -> tail, for as long as a socket holds it


def tail_of(feed):
    """Return the tail of a feed in the running event loop."""
    return _tails.setdefault((id(asyncio.get_running_loop()), feed.group), Tail(feed.read))
