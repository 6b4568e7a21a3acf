"""The consumer: what the server's events mean, and in which order they are dealt with.

It speaks ASGI itself. channels' consumers look for stale database connections at each event, a thread's round trip
that is a good part of a millisecond; here hundreds of messages share one.
"""

import asyncio
import json
import logging
from contextlib import suppress
from functools import partial

from django.db import DatabaseError, InterfaceError, OperationalError

from project.feed import in_database
from rooms.services import MessageRefused, Published

from .history import frames_after
from .leader import leadership
from .mirror import Mirror
from .store import asked, store
from .topics import AFTER, MESSAGES, PUBLISH, SYNC, request_of, room_of_messages

logger = logging.getLogger(__name__)

BATCH = 250  # messages stored at a time
BACKLOG = 1_000  # events taken from the server and not dealt with
RETRY_SECONDS = 1  # the database does not answer: nothing is acknowledged, and all of it is tried again


class Bridge:
    """One session of an ASGI application for scope type `mqtt`: an instance for each time that a server runs it."""

    @classmethod
    def as_asgi(cls):
        async def application(scope, receive, send):
            await cls(send).run(receive)

        return application

    def __init__(self, send):
        self._send, self._mirroring, self._mirror = send, None, None
        self._work = asyncio.Queue(BACKLOG)
        self._failed = asyncio.get_running_loop().create_future()

    async def run(self, receive):
        leading = asyncio.create_task(self._lead())
        working = asyncio.create_task(self._deal())
        reading = asyncio.create_task(self._read(receive))
        try:
            done, _ = await asyncio.wait([leading, working, reading, self._failed], return_when=asyncio.FIRST_COMPLETED)
            if reading in done and not reading.exception():
                # Shut down: what was taken is stored and acknowledged before another process may lead.
                await asyncio.wait([working])
                done = [working]
                await self._send({"type": "mqtt.close"})
            for task in done:
                task.result()
        finally:
            self._stop_mirror()
            for task in (reading, working, leading):
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task

    async def _lead(self):
        while True:
            async with leadership() as lost:
                await self._send({"type": "mqtt.open"})
                await lost
                # Before anybody else connects with our name; the broker would send us away as well.
                await self._send({"type": "mqtt.close"})

    # --- events

    async def _read(self, receive):
        while True:
            event = await receive()
            match event["type"]:
                case "mqtt.connect":
                    await self._subscribe()
                case "mqtt.subscribed":
                    await self._subscribed(event)
                case "mqtt.disconnect":
                    self._stop_mirror()
                case "mqtt.message":
                    await self._message(event)
                case "mqtt.shutdown":
                    await self._work.put(None)
                    return

    async def _subscribe(self):
        self._stop_mirror()
        self._mirror = Mirror(partial(self._publish, retain=True))
        topics = [(PUBLISH, 1), (AFTER, 1), (SYNC, 1), (MESSAGES, 1)]
        # Of the messages only what is retained: what we publish ourselves does not come back.
        await self._send({"type": "mqtt.subscribe", "topics": topics, "no_local": [MESSAGES]})

    async def _subscribed(self, event):
        if event["refused"]:
            logger.error("The broker refuses the subscriptions %s: see its access list", ", ".join(event["refused"]))
            return
        # Its echo comes after the retained messages.
        self._sync = f"{event['connection']}"
        await self._send({"type": "mqtt.publish", "topic": SYNC, "payload": self._sync.encode(), "qos": 1})

    async def _message(self, event):
        request = request_of(event["topic"])
        if request is not None:
            await self._work.put((event, asked(request, event)))
            return
        if event["topic"] == SYNC:
            if event["payload"] == self._sync.encode() and self._mirroring is None:
                self._mirroring = asyncio.create_task(self._mirror.run())
                self._mirroring.add_done_callback(self._mirror_ended)
        elif room_of_messages(event["topic"]) and event["retain"] and self._mirror:
            self._mirror.told(event)
        if event["qos"]:
            await self._acknowledge(event["connection"], [event["mid"]])

    def _stop_mirror(self):
        if self._mirroring is not None:
            self._mirroring.cancel()
        self._mirroring = None

    def _mirror_ended(self, task):
        if not task.cancelled() and not self._failed.done():
            self._failed.set_exception(task.exception())

    # --- work

    async def _deal(self):
        while True:
            batch = [await self._work.get()]
            while batch[-1] is not None and len(batch) < BATCH and not self._work.empty():
                batch.append(self._work.get_nowait())
            if ended := batch[-1] is None:
                batch.pop()
            publishes = [(event, item) for event, item in batch if item.request.verb == "publish"]
            if publishes:
                await self._store([item for _, item in publishes])
            for _, item in batch:
                if item.request.verb == "after":
                    await self._answer(item)
            for connection in {event["connection"] for event, _ in batch}:
                mids = [event["mid"] for event, _ in batch if event["qos"] and event["connection"] == connection]
                await self._acknowledge(connection, mids)
            if ended:
                return

    async def _store(self, items):
        try:
            outcomes = await self._stored(items)
        except DatabaseError:
            if len(items) > 1:  # one of them cannot be stored; the others must not suffer
                for item in items:
                    await self._store([item])
                return
            logger.exception("A message cannot be stored")
            outcomes = [MessageRefused("text", "The message cannot be stored.")]
        for item, outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, Published):
                if item.wants_ack:
                    await self._publish(item.reply, {"type": "ack", "id": outcome.id, "key": item.body.get("key")})
            else:
                await self._refuse(item, outcome)

    async def _stored(self, items):
        while True:
            try:
                return await in_database(store)(items)
            except (OperationalError, InterfaceError) as error:
                logger.warning("%d messages could not be stored, trying again: %s", len(items), error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _answer(self, item):
        try:
            if item.refusal:
                raise item.refusal
            frames = await in_database(frames_after)(item.request.room, item.body.get("after"))
        except MessageRefused as refusal:
            return await self._refuse(item, refusal)
        except (DatabaseError, InterfaceError):
            return await self._refuse(item, MessageRefused("unavailable", "The database does not answer; try again."))
        for frame in frames:
            await self._publish(item.reply, frame)

    async def _refuse(self, item, refusal):
        request = item.request
        logger.warning("Refused %s of %s in %s: %s %s", request.verb, request.user, request.room, refusal.code, refusal)
        frame = {"type": "error", "code": refusal.code, "detail": str(refusal), "room": request.room}
        await self._publish(item.reply, frame | ({"key": item.body["key"]} if "key" in item.body else {}))

    async def _publish(self, topic, frame, *, retain=False):
        payload = json.dumps(frame, ensure_ascii=False).encode()
        await self._send({"type": "mqtt.publish", "topic": topic, "payload": payload, "qos": 1, "retain": retain})

    async def _acknowledge(self, connection, mids):
        if mids:
            await self._send({"type": "mqtt.ack", "connection": connection, "mids": mids})
