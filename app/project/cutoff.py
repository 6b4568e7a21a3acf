"""Tells a host that is cut off from one whose database is away: to the first nobody speaks, Redis does not either.

Sockets and streams of a host that is cut off would stay, and say nothing until it is back. They are told to come back,
and the proxy takes them to another host. Where only the database is away, every host is the same: they stay.
"""

import asyncio
import logging
from contextvars import Context
from weakref import WeakKeyDictionary

from accounts.watch import watch
from health.probes import redis_reason

from . import codes

logger = logging.getLogger(__name__)
BATCH, PAUSE_SECONDS, PAUSES_MOST = 5, 0.5, 10  # those who are sent away come back as they can be served, as in Daphne's drain
_looks = WeakKeyDictionary()  # event loop -> the look that is being taken


def suspect():
    """The database did not answer: look whether Redis does, in the background and once at a time."""
    loop = asyncio.get_running_loop()
    look = _looks.get(loop)
    if look is None or look.done():
        _looks[loop] = loop.create_task(_look(), context=Context())


async def _look():
    if await asyncio.to_thread(redis_reason) is None:
        return
    visitors = watch().visitors()
    logger.error("Cut off: neither the database nor Redis answers", extra={"sent_away": len(visitors)})
    batch = max(BATCH, -(-len(visitors) // PAUSES_MOST))
    for first in range(0, len(visitors), batch):
        for visitor in visitors[first : first + batch]:
            visitor.leave(codes.REPLACED, "this host is cut off")
        await asyncio.sleep(PAUSE_SECONDS)
