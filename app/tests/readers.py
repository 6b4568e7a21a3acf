"""A reader for each transport, all with one face: open(after) → recovery, frame() → the next message, close()."""

import asyncio
import json
import threading
from html.parser import HTMLParser
from urllib.parse import urlencode

from django.conf import settings
from django.test import Client

from project.asgi import application

from .conftest import PATIENCE, Socket

ROOM = "/rooms/garden/"
END = object()


class AsgiAnswer:
    """An HTTP answer of the whole ASGI application, as it comes."""

    def __init__(self, path, session, **headers):
        path, _, query = path.partition("?")
        names = {"host": "testserver", "cookie": f"{settings.SESSION_COOKIE_NAME}={session}", **headers}
        self.scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in names.items()],
        }
        self.asked, self.parts, self.status, self.headers = asyncio.Queue(), asyncio.Queue(), None, {}
        self.asked.put_nowait({"type": "http.request", "body": b""})
        self.task = asyncio.create_task(application(self.scope, self.asked.get, self._take))

    async def _take(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            return
        self.parts.put_nowait(message.get("body", b""))
        if not message.get("more_body"):
            self.parts.put_nowait(END)

    async def close(self):
        self.asked.put_nowait({"type": "http.disconnect"})
        await asyncio.wait_for(self.task, PATIENCE)


class WsgiAnswer:
    """An HTTP answer of the WSGI handler, read in a thread as a worker's server does."""

    gone = set()  # answers whose client has closed

    def __init__(self, path, session, **headers):
        self.path, self.headers, self.status = path, {}, None
        self.client = Client(headers={"x-forwarded-proto": "https", **headers})
        self.client.cookies[settings.SESSION_COOKIE_NAME] = session
        self.parts, self.loop = asyncio.Queue(), asyncio.get_running_loop()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        response = self.client.get(self.path, secure=True)
        self.status, self.headers = response.status_code, {name.lower(): value for name, value in response.headers.items()}
        for part in response if response.streaming else [response.content]:
            self._put(part)
        response.close()
        self._put(END)

    def _put(self, part):
        self.loop.call_soon_threadsafe(self.parts.put_nowait, part)

    async def close(self):
        WsgiAnswer.gone.add(self.thread.ident)
        await asyncio.to_thread(self.thread.join, PATIENCE)
        assert not self.thread.is_alive()

    @classmethod
    def client_is_gone(cls):
        return threading.get_ident() in cls.gone


class Reader:
    def __init__(self, session, answer=None):
        self.session, self.answer = session, answer

    async def nothing(self, seconds):
        try:
            async with asyncio.timeout(seconds):
                frame = await self.frame()
        except TimeoutError:
            return True
        raise AssertionError(f"came unasked: {frame}")

    async def frames(self, count):
        return [await self.frame() for _ in range(count)]

    async def close(self):
        pass


class WebSocketReader(Reader):
    async def open(self, after):
        self.socket = Socket("/ws/rooms/garden/", self.session)
        frame = await self.socket.open(after)
        return {name: value for name, value in frame.items() if name != "type"}

    async def frame(self):
        return await self.socket.frame()

    async def nothing(self, seconds):
        # The communicator's own timeout ends the application.
        return await self.socket.receive_nothing(seconds)

    async def close(self):
        await self.socket.disconnect()


class StreamReader(Reader):
    """Server-Sent Events, or a streamed document."""

    def __init__(self, session, answer, transport):
        super().__init__(session, answer)
        self.transport, self.parse = transport, parse_events if transport == "events" else parse_frame

    async def open(self, after, **headers):
        self.body = self.answer(f"{ROOM}{self.transport}?after={after}", self.session, **headers)
        self.text, self.waiting = "", []
        name, recovery = await self.event()
        assert name == "recovery", (name, recovery)
        return recovery

    async def event(self):
        """Return (name, data) of the next event."""
        async with asyncio.timeout(PATIENCE):
            while not self.waiting:
                part = await self.body.parts.get()
                assert part is not END, "the stream ended"
                events, self.text = self.parse(self.text + part.decode())
                self.waiting += events
        return self.waiting.pop(0)

    async def frame(self):
        name, data = await self.event()
        assert name == "message", (name, data)
        return data

    async def close(self):
        await self.body.close()


class PollReader(Reader):
    """Polling and, with `wait`, long polling: each answer is a page."""

    def __init__(self, session, answer, wait=0):
        super().__init__(session, answer)
        self.wait = wait

    async def page(self, **query):
        body = self.answer(f"{ROOM}messages?{urlencode(query)}", self.session)
        parts = []
        try:
            async with asyncio.timeout(PATIENCE):
                while (part := await body.parts.get()) is not END:
                    parts.append(part)
        finally:
            await body.close()
        assert body.status == 200, parts
        return json.loads(b"".join(parts))

    async def open(self, after):
        page = await self.page(after=after, limit=50)
        self.after = after if page["recovered"] else page["newest"]
        self.waiting = page.pop("messages")
        return {"after": self.after, **page}

    async def frame(self):
        async with asyncio.timeout(PATIENCE):
            while not self.waiting:
                self.waiting = (await self.page(after=self.after, **({"wait": self.wait} if self.wait else {})))["messages"]
                await asyncio.sleep(0 if self.wait else 0.05)
        frame = self.waiting.pop(0)
        self.after = frame["id"]
        return frame


class RefreshReader(Reader):
    """A browser without JavaScript: follows the address that the page names."""

    async def open(self, after):
        self.address, self.waiting = f"{ROOM}refresh?after={after}", []
        page = await self.load()
        number = {name: int(page.room[f"data-{name}"]) if page.room[f"data-{name}"] else None for name in ("oldest", "newest")}
        recovered = page.room["data-recovered"] == "true"
        return {"after": after if recovered else int(page.room["data-last"]), "recovered": recovered, **number}

    async def load(self):
        body = self.answer(self.address, self.session)
        try:
            async with asyncio.timeout(PATIENCE):
                text = (await body.parts.get()).decode()
        finally:
            await body.close()
        page = Page(text)
        self.address = page.next
        self.waiting += page.new
        return page

    async def frame(self):
        async with asyncio.timeout(PATIENCE):
            while not self.waiting:
                await asyncio.sleep(0.05)
                await self.load()
        return self.waiting.pop(0)


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.new, self.text = [], False
        self.feed(text)

    def handle_starttag(self, tag, pairs):
        attributes = dict(pairs)
        if tag == "section":
            self.room = attributes
        elif tag == "meta" and attributes.get("http-equiv") == "refresh":
            self.next = attributes["content"].partition("url=")[2]
        elif tag == "li" and "unread" in attributes["class"].split():
            self.new.append({"id": int(attributes["data-id"]), "text": ""})
        self.text = tag == "p" and attributes.get("class") == "text"

    def handle_data(self, data):
        if self.text and self.new:
            self.new[-1]["text"] += data.strip()


def parse_events(text):
    """Return [(event, data)] of the blocks that are whole, and the rest."""
    *blocks, rest = text.split("\n\n")
    found = []
    for block in blocks:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "data" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found, rest


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, pairs):
        attributes = dict(pairs)
        if "data-json" in attributes:
            self.found.append((attributes["data-event"], json.loads(attributes["data-json"])))


def parse_frame(text):
    whole, end, rest = text.rpartition("</div>\n")
    return Elements(whole + end).found, rest


READERS = {
    "websocket": WebSocketReader,
    "events-asgi": lambda session: StreamReader(session, AsgiAnswer, "events"),
    "events-wsgi": lambda session: StreamReader(session, WsgiAnswer, "events"),
    "frame-asgi": lambda session: StreamReader(session, AsgiAnswer, "frame"),
    "frame-wsgi": lambda session: StreamReader(session, WsgiAnswer, "frame"),
    "longpoll-asgi": lambda session: PollReader(session, AsgiAnswer, wait=3),
    "longpoll-wsgi": lambda session: PollReader(session, WsgiAnswer, wait=3),
    "poll-asgi": lambda session: PollReader(session, AsgiAnswer),
    "poll-wsgi": lambda session: PollReader(session, WsgiAnswer),
    "refresh-wsgi": lambda session: RefreshReader(session, WsgiAnswer),
}
