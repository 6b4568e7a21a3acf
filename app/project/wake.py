"""The wake-up call: tells every process that something newer than what it has read lies in the database.

A wake-up carries a group and the newest id, never content. One that is lost costs a delay, not a message: readers
look at the database on a clock as well.
"""

import asyncio
import logging
import threading
import time
from contextlib import contextmanager, suppress
from contextvars import Context
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer

logger = logging.getLogger(__name__)

SEND_SECONDS = 2  # a Redis that does not answer must not pile up wake-ups
RETRY_SECONDS = 5  # readers look at the database meanwhile
REJOIN_SECONDS = 30  # the core layer keeps members in Redis: a restart loses them, and a day


class Listener:
    """What one reader waits on: `newest` is the newest id announced, `since` when to look in any case."""

    def __init__(self):
        self.event = asyncio.Event()
        self.newest = 0
        self.since = 0.0

    def wake(self, newest=0):
        self.newest = max(self.newest, newest)
        self.event.set()

    def look(self):
        self.since = time.monotonic()
        self.event.set()

    async def wait(self, seconds):
        """Return after a wake-up, or after `seconds` without one."""
        await _wait(self.event, seconds)
        self.event.clear()


async def _wait(event, seconds):
    # Not wait_for: before Python 3.12 it loses a cancellation that comes in the same moment as the event.
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


class Hub:
    """Joins each group once per process, and wakes the process's listeners of it.

    A socket of its own channel would lose its place when Redis restarts, and could not open while Redis is away; the
    hub rejoins until it succeeds, and has the listeners look at the database when it does.
    """

    def __init__(self):
        self._listeners = {}
        self._changed = asyncio.Event()
        self._task = None
        self.joined = set()  # groups of the channel layer

    def join(self, group, listener):
        self._listeners.setdefault(group, set()).add(listener)
        self._changed.set()
        if self._task is None:
            # For as long as the process lives, and not in the name of the request that happened to be the first.
            self._task = asyncio.create_task(self._run(), context=Context())

    def leave(self, group, listener):
        self._listeners[group].discard(listener)
        if not self._listeners[group]:
            del self._listeners[group]
        self._changed.set()

    @contextmanager
    def listen(self, group):
        listener = Listener()
        self.join(group, listener)
        try:
            yield listener
        finally:
            self.leave(group, listener)

    async def _run(self):
        while True:
            self.joined = joined = set()
            layer = get_channel_layer()
            try:
                channel = await layer.new_channel()
                await _until_one_fails(self._receive(layer, channel), self._keep_joined(layer, channel, joined))
            except Exception as error:
                logger.warning("Channel layer lost, trying again: %s: %s", type(error).__name__, error)
            await asyncio.sleep(RETRY_SECONDS)

    async def _receive(self, layer, channel):
        while True:
            message = await layer.receive(channel)
            for listener in tuple(self._listeners.get(message["group"], ())):
                listener.wake(message["newest"])

    async def _keep_joined(self, layer, channel, joined):
        refresh_at = time.monotonic() + REJOIN_SECONDS
        while True:
            self._changed.clear()
            for group in joined - self._listeners.keys():
                joined.discard(group)
                await layer.group_discard(group, channel)
            for group in self._listeners.keys() - joined:
                await layer.group_add(group, channel)
                joined.add(group)
                # What was announced before we had joined is in the database.
                for listener in self._listeners.get(group, ()):
                    listener.look()
            await _wait(self._changed, refresh_at - time.monotonic())
            if time.monotonic() >= refresh_at:
                for group in joined:
                    await layer.group_add(group, channel)
                refresh_at += REJOIN_SECONDS


async def _until_one_fails(*coroutines):
    # Not a TaskGroup: before Python 3.12 it leaves the task that waits marked as cancelled, or swallows a cancellation.
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


_hubs = WeakKeyDictionary()  # event loop -> its hub


def hub():
    """Return the hub of the running event loop."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())


_pending = {}  # group -> newest id not yet sent
_pending_lock = threading.Lock()
_own_loop = None


def wake_soon(group, newest):
    """Announce the newest id of a group, without waiting; safe from any thread, with and without an event loop."""
    with _pending_lock:
        waiting = group in _pending
        _pending[group] = max(newest, _pending.get(group, 0))
        if waiting:
            return
    asyncio.run_coroutine_threadsafe(_send_pending(group), background_loop())


def announce(group, value):
    """Give a group a value that a later one must not replace; otherwise as `wake_soon`."""
    asyncio.run_coroutine_threadsafe(_send(group, value), background_loop())


async def _send_pending(group):
    with _pending_lock:
        newest = _pending.pop(group)
    await _send(group, newest)


async def _send(group, newest):
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await get_channel_layer().group_send(group, {"type": "wake", "group": group, "newest": newest})
    except Exception as error:
        # The message is stored: readers find it when they look.
        logger.warning("Wake-up not sent: %s: %s", type(error).__name__, error, extra={"group": group})


def background_loop():
    """Return the loop whose hub is connected already; a WSGI process has none and gets one in a thread."""
    global _own_loop
    for loop in list(_hubs):
        if loop.is_running():
            return loop
    with _pending_lock:
        if _own_loop is None:
            _own_loop = asyncio.new_event_loop()
            threading.Thread(target=_own_loop.run_forever, name="wake", daemon=True).start()
        return _own_loop
