"""Reads a feed from a position on, for as long as somebody wants it: what every transport gives its clients.

Twice, because a thread and an event loop wait differently; everything else is shared.
"""

import logging
import random
import time

from django.conf import settings
from django.db import Error, connections

from .blocking import listen_blocking
from .cutoff import suspect
from .feed import encoded, in_database, tail_of
from .recovery import is_recoverable, recover
from .wake import hub

logger = logging.getLogger(__name__)
FOREVER = float("inf")


async def follow(feed, after, *, seconds=FOREVER):
    """Yield a Recovery, then lists of (id, JSON text), for `seconds`; an empty list is time for a heartbeat.

    A reader that was overtaken by pruning gets another Recovery, which says so. Close it (`aclosing`) when done.
    """
    tail, end = tail_of(feed), time.monotonic() + seconds
    with hub().listen(feed.group) as listener:
        recovery = await in_database(_recovery)(feed, after)
        tail.start(recovery.newest)
        listener.wake(recovery.newest)
        yield recovery
        position = recovery.after
        while (pause := _pause(end)) > 0:
            await listener.wait(pause)
            since = max(listener.since, time.monotonic() - settings.FEED_LOOK_SECONDS)
            try:
                while items := await tail.after(position, newest=listener.newest, since=since):
                    if items[0][0] > position + 1 and (gap := await in_database(_gap)(feed, position)):
                        yield gap
                        position = gap.after
                        continue
                    yield items
                    position = items[-1][0]
            except Error as error:
                logger.warning("Feed not read, the next look tries again: %s", error)
                suspect()
            yield []


def follow_blocking(feed, after, *, seconds, is_over=lambda: False):
    """As `follow`, in a thread without an event loop; the database connection is given back while it waits.

    It ends early when `is_over()`, asked once a second.
    """
    end = time.monotonic() + seconds
    with listen_blocking(feed.group) as listener:
        recovery = _recovery(feed, after)
        yield recovery
        position = recovery.after
        while True:
            try:
                while items := encoded(feed.read(position, settings.FEED_PAGE_SIZE)):
                    if items[0][0] > position + 1 and (gap := _gap(feed, position)):
                        yield gap
                        position = gap.after
                        continue
                    yield items
                    position = items[-1][0]
            except Error as error:
                logger.warning("Feed not read, the next look tries again: %s", error)
            connections.close_all()
            yield []
            if not _waited(listener, _pause(end), is_over):
                return


def _waited(listener, pause, is_over):
    """Wait for a wake-up, or for `pause` seconds; return whether to go on."""
    until = time.monotonic() + pause
    while (left := until - time.monotonic()) > 0:
        if is_over():
            return False
        if listener.wait(min(left, 1)):
            break
    return pause > 0


def _pause(end):
    """Return how long to wait for a wake-up before looking in any case."""
    # Spread, so that a thousand readers do not look in the same instant.
    return min(end - time.monotonic(), settings.FEED_LOOK_SECONDS * random.uniform(0.8, 1.2))


def _recovery(feed, after):
    oldest, newest = feed.position()
    return recover(after, oldest=oldest, newest=newest)


def _gap(feed, position):
    """Return the Recovery of a reader at `position` whose next items are no longer kept, None if they are."""
    oldest, newest = feed.position()
    if is_recoverable(position, oldest=oldest, newest=newest):
        return None  # a hole further in: somebody's messages went with their account
    return recover(position, oldest=oldest, newest=newest)
