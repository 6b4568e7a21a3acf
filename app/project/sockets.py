"""The WebSocket protocol that rooms and notifications share; docs/protocol.md describes it."""

import asyncio
import json
import logging
from contextlib import aclosing

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import Error

from accounts.watch import Visitor, watch

from . import codes
from .cutoff import suspect
from .follow import follow
from .limits import frames_allowance
from .recovery import Recovery

logger = logging.getLogger(__name__)


class FeedConsumer(AsyncWebsocketConsumer):
    """Gives a signed-in user a feed: each item once, in order, from the id the first frame names.

    A subclass opens the feed (`open_feed`), and may answer more frames with methods named `frame_<type>`.
    """

    # The hub listens for the whole process: a socket needs no channel of its own.
    channel_layer_alias = "none"

    async def open_feed(self):
        """Return the Feed, or None if there is no such feed."""
        raise NotImplementedError

    async def connect(self):
        self.user = self.scope["user"]
        self.delivery = self.visitor = None
        self.refused = 0
        if not self.user.is_authenticated:
            logger.info("WebSocket refused: not logged in", extra={"path": self.scope["path"]})
            await self.close()
            return
        self.feed = await self.open_feed()
        await self.accept()
        if self.feed is None:
            await self.close(codes.NO_SUCH_FEED, "no such feed")
        elif watch().count(self.user.pk) >= settings.CONNECTIONS_PER_USER:
            logger.info("WebSocket closed: too many connections", extra={"user": self.user.pk})
            await self.close(codes.TOO_MANY_CONNECTIONS, "too many connections")
        else:
            self.visitor = Visitor(self.user.pk, self.scope["session"].session_key, self.leave)
            watch().enter(self.visitor)

    def leave(self, code, reason):
        self.leaving = asyncio.create_task(self.close(code, reason))

    async def disconnect(self, code):
        if self.delivery:
            self.delivery.cancel()
        if self.visitor:
            watch().go(self.visitor)

    async def receive(self, text_data=None, bytes_data=None):
        frame = await self._frame_of(text_data)
        if frame is None or self.feed is None:
            return
        if pause := frames_allowance().take(self.user.pk):
            await self._refuse_for_now(frame, pause)
            return
        handler = getattr(self, f"frame_{frame['type']}", None)
        if handler is None:
            await self.send_error("type", f"There is no frame of type {frame['type'][:40]!r}.")
            return
        try:
            await handler(frame)
        except Error:
            logger.exception("Frame not handled: the database does not answer")
            suspect()
            await self.send_error("unavailable", "The database does not answer. Try again in a moment.", **key_of(frame))

    async def _frame_of(self, text):
        """Return the frame, or None when the client was told what is wrong with it."""
        if text is None:
            await self.send_error("json", "Frames are text, not binary.")
        elif len(text) > settings.SOCKET_FRAME_LIMIT or len(text.encode()) > settings.SOCKET_FRAME_LIMIT:
            await self.send_error("size", f"A frame may have {settings.SOCKET_FRAME_LIMIT} bytes.")
        else:
            try:
                frame = json.loads(text)
            except (ValueError, RecursionError):
                await self.send_error("json", "The frame is not JSON.")
                return None
            if isinstance(frame, dict) and isinstance(frame.get("type"), str):
                return frame
            await self.send_error("type", 'A frame is an object with a "type".')
        return None

    async def frame_subscribe(self, frame):
        after = frame.get("after")
        if self.delivery:
            await self.send_error("subscribed", "This socket is subscribed already.")
            return
        if after is not None and (type(after) is not int or not 0 <= after < 2**63):
            await self.send_error("after", '"after" is an id (0 or more) or null.')
            return
        # Listens before it looks where the feed ends: nothing is published unseen in between.
        events = follow(self.feed, after)
        first = await anext(events)
        await self.send_frame(type="subscribed", **first.as_dict())
        self.delivery = asyncio.create_task(self._deliver(events))

    async def _deliver(self, events):
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Recovery):
                        await self.send_frame(type="subscribed", **event.as_dict())
                        continue
                    for _, text in event:
                        await self.send(text_data=text)
        except Exception:
            logger.exception("Delivery stopped")
            await self.close(1011)

    async def _refuse_for_now(self, frame, pause):
        self.refused += 1
        if self.refused > settings.FRAMES_BURST:
            await self.close(codes.TOO_MANY_MESSAGES, "too many messages")
            return
        detail = f"Too many frames: try again in {pause:.2f} s."
        await self.send_error("rate", detail, retry_after=round(pause, 2), **key_of(frame))

    async def send_frame(self, **frame):
        await self.send(text_data=json.dumps(frame, ensure_ascii=False))

    async def send_error(self, code, detail, **more):
        await self.send_frame(type="error", code=code, detail=detail, **more)


def key_of(frame):
    """Return what tells a client which of its frames an error is about."""
    return {"key": frame["key"]} if "key" in frame else {}
