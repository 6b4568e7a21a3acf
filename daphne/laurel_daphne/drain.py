"""The drain: sockets are told to come back (1012) in jittered batches, so that they do not all come at once.

Daphne cancels its applications and lets the connections fall: https://github.com/django/daphne/issues/177
and https://github.com/django/daphne/issues/38.
"""

import asyncio
import contextlib
import math
import random

from laurel_daphne import metrics
from laurel_daphne.logs import logger

HURRIED_GRACE = 1  # seconds that consumers get after a second signal
LINGER = 0.25  # a request already on its way when we stopped accepting still gets its answer


def batch_size(sockets, batch, interval, limit):
    """At least `batch`, and as many as it takes to be through with all of them within `limit` seconds."""
    return max(batch, math.ceil(sockets * interval / limit)) if limit > 0 else max(batch, sockets)


class Drain:
    """Closes the WebSockets of a server, and waits for the work in flight if the process is to end."""

    def __init__(self, server, options, notifier):
        self.server, self.options, self.notifier = server, options, notifier
        self.hurried = asyncio.Event()
        self.again = False  # what opens during a drain that stays is to be closed by another

    def hurry(self):
        self.hurried.set()

    async def sockets(self):
        """Sends the close frames. Sockets that open meanwhile are not touched."""
        protocols = self.server.websockets()
        random.shuffle(protocols)
        metrics.draining.set(1)
        metrics.drain_sockets.set(len(protocols))
        metrics.drain_remaining.set_function(lambda: sum(not protocol.is_closed.called for protocol in protocols))
        size = batch_size(len(protocols), *(getattr(self.options, f"drain_{name}") for name in ("batch", "interval", "limit")))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.options.drain_limit
        told = 0
        while told < len(protocols):
            rush = self.hurried.is_set() or loop.time() >= deadline
            batch = protocols[told:] if rush else protocols[told : told + size]
            for protocol in batch:
                protocol.close_for_restart()
            told += len(batch)
            self.notifier.send(STATUS=f"Draining: {told} of {len(protocols)} WebSockets told to come back")
            if told < len(protocols):
                pause = self.options.drain_interval * random.uniform(0.5, 1.5)
                await self.sleep(min(pause, max(0, deadline - loop.time())))
        return protocols

    async def stay(self):
        """Closes what is open now and goes on serving."""
        protocols = await self.sockets()
        while self.again:
            self.again = False
            protocols = await self.sockets()
        metrics.draining.set(0)
        metrics.drain_remaining.set_function(lambda: 0)  # lets go of the protocols
        logger.info("drained %d WebSockets, still serving", len(protocols))
        self.notifier.send(STATUS=f"Serving. The last drain closed {len(protocols)} WebSockets")

    async def leave(self):
        """Closes what is open and waits until consumers have disconnected and HTTP requests are answered."""
        protocols = await self.sockets()
        loop = asyncio.get_running_loop()
        end = loop.time() + self.options.drain_grace
        quiet = loop.time() + LINGER
        while self.server.busy() or loop.time() < quiet:
            if self.hurried.is_set():
                end = min(end, loop.time() + HURRIED_GRACE)
                self.hurried.clear()
            if loop.time() >= end:
                break
            await asyncio.sleep(0.02)
        left = self.server.busy()
        logger.log(30 if left else 20, "drained %d WebSockets, %d connections cut", len(protocols), left)
        self.notifier.send(STATUS=f"Drained {len(protocols)} WebSockets, {left} connections cut")

    async def sleep(self, seconds):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.hurried.wait(), seconds)
