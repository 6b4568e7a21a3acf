"""Streams in an ASGI process, outside Django's handler: a stream there would hold a thread for as long as it lives.

Django's answer names a ticket in X-Accel-Redirect. It is honoured here for requests that came to this process, and by
nginx for those that came to a WSGI server and are brought here.
"""

import asyncio
import json
import logging
from contextlib import aclosing
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core.signing import BadSignature, SignatureExpired
from django.db import Error
from django.http import parse_cookie

from accounts.watch import Visitor, watch

from . import codes
from .follow import follow
from .formats import FORMATS, Writer, page_of
from .recovery import Recovery
from .request_id import read_or_make, request_id
from .streams import HEADERS, form_headers
from .tickets import PATH, verify

logger = logging.getLogger(__name__)


class Handover:
    """Wraps Django's ASGI application; `feeds` maps a ticket's kind of feed to what makes the Feed of a key."""

    def __init__(self, inner, feeds):
        self.inner, self.feeds = inner, feeds

    async def __call__(self, scope, receive, send):
        if scope["path"].startswith(PATH):
            await self._stream(scope, scope["query_string"].decode("latin1"), receive, send)
            return
        target = None

        async def intercept(message):
            nonlocal target
            if message["type"] == "http.response.start":
                target = dict(message["headers"]).get(b"X-Accel-Redirect")
            if target is None:
                await send(message)

        await self.inner(scope, receive, intercept)
        if target is not None:
            await self._stream(scope, urlsplit(target.decode()).query, receive, send)

    async def _stream(self, scope, query, receive, send):
        headers = dict(scope["headers"])
        # A task of its own: there is nothing to set back.
        request_id.set(read_or_make(headers.get(b"x-request-id", b"").decode("latin1")))
        cookies = parse_cookie(headers.get(b"cookie", b"").decode("latin1"))
        session_key = cookies.get(settings.SESSION_COOKIE_NAME, "")
        answer = Answer(send)
        try:
            ticket = verify(parse_qs(query).get("ticket", [""])[0], session_key)
        except SignatureExpired:
            # It waited where this process was not ready to take it: while it was being replaced, say.
            logger.warning("Stream not begun: the ticket came too late", extra={"path": scope["path"]})
            await answer.too_late(FORMATS.get(scope["path"].rpartition("/")[2]))
            return
        except BadSignature:
            logger.warning("Stream refused: the ticket is not valid", extra={"path": scope["path"]})
            await answer.error(403, "ticket", "The ticket is not valid.")
            return
        give = self._wait if ticket.transport == "messages" else self._follow
        await _until_gone(give(answer, ticket, session_key), receive)

    def _feed(self, ticket):
        kind, key = ticket.feed
        return self.feeds[kind](key)

    async def _wait(self, answer, ticket, session_key):
        recovery = None
        try:
            async with aclosing(follow(self._feed(ticket), ticket.after, seconds=ticket.seconds)) as events:
                async for event in events:
                    if isinstance(event, Recovery):
                        recovery = event
                    if (isinstance(event, Recovery) and event.recovered) or event == []:
                        continue
                    await answer.whole(page_of(recovery, event[: ticket.limit] if isinstance(event, list) else []))
                    return
        except Error:
            logger.exception("Long poll not answered: the database does not answer")
            await answer.error(503, "unavailable", "The database does not answer. Try again in a moment.")
            return
        await answer.whole(page_of(recovery, []))

    async def _follow(self, answer, ticket, session_key):
        over = asyncio.get_running_loop().create_future()
        visitor = Visitor(ticket.user_id, session_key, lambda *why: over.done() or over.set_result(why))
        if watch().count(ticket.user_id) >= settings.CONNECTIONS_PER_USER:
            over.set_result((codes.TOO_MANY_CONNECTIONS, "too many connections"))
        form = FORMATS[ticket.transport]
        writer = Writer(form)
        await answer.begin(200, form_headers(form))
        await answer.part(writer.begin())
        watch().enter(visitor)
        giving = asyncio.create_task(self._give(answer, writer, ticket))
        try:
            await asyncio.wait({giving, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watch().go(visitor)
            giving.cancel()
            ended = (await asyncio.gather(giving, return_exceptions=True))[0]
        if isinstance(ended, Exception):
            logger.error("Stream stopped", exc_info=ended)
        await answer.part(writer.close(*(over.result() if over.done() else ())))
        await answer.end()

    async def _give(self, answer, writer, ticket):
        async with aclosing(follow(self._feed(ticket), ticket.after, seconds=settings.STREAM_SECONDS)) as events:
            async for event in events:
                if part := writer.write(event):
                    await answer.part(part)


class Answer:
    """An HTTP answer over ASGI, piece by piece."""

    def __init__(self, send):
        self._send = send

    async def begin(self, status, headers):
        headers = {"X-Request-ID": request_id.get(), "X-Content-Type-Options": "nosniff", **headers}
        pairs = [(name.lower().encode(), value.encode("latin1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def part(self, body):
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self):
        await self._send({"type": "http.response.body", "body": b""})

    async def whole(self, body, status=200, **headers):
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **HEADERS, **headers}
        await self.begin(status, headers)
        await self._send({"type": "http.response.body", "body": body})

    async def error(self, status, code, detail, retry_after=5):
        await self.whole(json.dumps({"error": code, "detail": detail}).encode(), status, **{"Retry-After": str(retry_after)})

    async def too_late(self, form):
        """Have the client come back at once: with a stream that ends, where it asked for one."""
        if form is None:
            await self.error(503, "unavailable", "It took too long to get here. Try again.", retry_after=1)
            return
        writer = Writer(form)
        await self.begin(200, form_headers(form))
        await self.part(writer.begin() + writer.close(codes.REPLACED, "the server was being replaced"))
        await self.end()


async def _until_gone(giving, receive):
    """Run a coroutine until it is done, or the client has gone."""
    tasks = [asyncio.create_task(giving), asyncio.create_task(_gone(receive))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    if isinstance(results[0], Exception):
        raise results[0]


async def _gone(receive):
    while (await receive())["type"] != "http.disconnect":
        pass
