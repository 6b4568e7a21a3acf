"""A subscriber for each transport: reads from where its tally ends until the connection ends or fails.

`read(tally)` yields (id, text) of what comes. It raises Ended with a close code, or OSError, when the connection is over.
"""

import html
import http.client
import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loadtests.users import websocket

from .tally import Tally

Message = tuple[int, str]

TIMEOUT = 75  # seconds of silence; a long poll lasts 25, a heartbeat comes each ten
WAIT = 25
POLL_SECONDS = 1.0
READ_BYTES = 65536
GONE = {400: 4000, 401: 4001, 403: 4001, 404: 4004}  # statuses that no repetition mends, as the codes say it
BUSY = 4103
LATER = {429: BUSY, 503: BUSY}  # no place to wait; a host that cannot serve


class Ended(Exception):
    """The connection is over. `code` is a close code, 0 where there was none."""

    def __init__(self, code: int, reason: str = "", retry_after: float = 0) -> None:
        # A status says more than the code that stands for it: 503 is also what a server gives that is being replaced.
        super().__init__(reason if "status" in reason else f"{code} {reason}".strip())
        self.code, self.retry_after = code, retry_after


@dataclass
class Site:
    """Where to read, and as whom."""

    name: str
    address: str
    port: int
    room: str
    ca: str
    cookie: str
    session: str
    mqtt: dict[str, Any]
    number: int = 0

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.ca or None)


class Transport:
    """One subscriber's connections, one after another."""

    def __init__(self, site: Site, tls: ssl.SSLContext) -> None:
        self.site, self.tls = site, tls
        self.connection: http.client.HTTPSConnection | None = None

    def read(self, tally: Tally) -> Iterator[Message]:
        raise NotImplementedError

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def ask(self, path: str, **headers: str) -> http.client.HTTPResponse:
        """An answer with status 200. Raises Ended for any other."""
        site = self.site
        if self.connection is None:
            plain = socket.create_connection((site.address, site.port), timeout=TIMEOUT)
            self.connection = http.client.HTTPSConnection(site.name, site.port, context=self.tls)  # it connects anew by itself
            self.connection.sock = self.tls.wrap_socket(plain, server_hostname=site.name)
        headers = {"Host": f"{site.name}:{site.port}", "Cookie": f"{site.cookie}={site.session}"} | headers
        try:
            self.connection.request("GET", path, headers=headers)
            answer = self.connection.getresponse()
        except http.client.HTTPException as error:
            raise OSError(repr(error)) from error
        if answer.status != 200:
            answer.read()
            code = GONE.get(answer.status) or LATER.get(answer.status, 0)
            raise Ended(code, f"status {answer.status}", float(answer.headers.get("Retry-After") or 0))
        return answer

    def body(self, path: str) -> bytes:
        answer = self.ask(path)
        try:
            return answer.read()
        except http.client.HTTPException as error:
            raise OSError(repr(error)) from error

    @property
    def room(self) -> str:
        return f"/rooms/{self.site.room}"


class Poll(Transport):
    """Asks, and asks again: at once where the answer may wait, else after a pause."""

    wait = 0

    def page(self, tally: Tally, wait: int) -> Iterator[Message]:
        page = json.loads(self.body(f"{self.room}/messages?after={tally.last}&wait={wait}"))
        demand(page["recovered"], tally)
        for frame in page["messages"]:
            yield frame["id"], frame["text"]

    def read(self, tally: Tally) -> Iterator[Message]:
        while True:
            try:
                yield from self.page(tally, self.wait)
            except Ended as ended:
                if ended.code == BUSY and self.wait:
                    yield from self.page(tally, 0)  # no place to wait is left: what is there can be had all the same
                raise
            if not self.wait:
                time.sleep(POLL_SECONDS)


class LongPoll(Poll):
    wait = WAIT


class Stream(Transport):
    """An answer that goes on: Server-Sent Events, or a document."""

    path = ""

    def headers(self, tally: Tally) -> dict[str, str]:
        return {}

    def events(self, text: str) -> tuple[list[tuple[str, Any]], str]:
        """The (event, data) that are whole, and the rest."""
        raise NotImplementedError

    def read(self, tally: Tally) -> Iterator[Message]:
        try:
            answer = self.ask(f"{self.room}/{self.path}?after={tally.last}", **self.headers(tally))
        except Ended as ended:
            if ended.code == BUSY:
                yield from Poll.page(self, tally, 0)  # as a page does that falls back to polling
            raise
        rest = b""
        while True:
            try:
                part = answer.read1(READ_BYTES)
            except http.client.HTTPException as error:
                raise OSError(repr(error)) from error
            if not part:
                self.close()
                raise Ended(0, "the stream ended without a word")
            *whole, rest = (rest + part).split(self.end)
            for event, data in self.parse(self.end.join([*whole, b""]).decode()):
                if event == "recovery":
                    demand(data["recovered"], tally)
                elif event == "message":
                    yield data["id"], data["text"]
                elif event == "close":
                    self.close()
                    raise Ended(data["code"], data["reason"])

    end = b""

    def parse(self, text: str) -> Iterator[tuple[str, Any]]:
        raise NotImplementedError


class Events(Stream):
    """Server-Sent Events. After the first connection it resumes as a browser does, by Last-Event-ID alone."""

    path, end = "events", b"\n\n"

    def headers(self, tally: Tally) -> dict[str, str]:
        return {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(tally.last)} if tally.reconnects else {})

    def parse(self, text: str) -> Iterator[tuple[str, Any]]:
        for block in text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
            if "data" in fields:
                yield fields["event"], json.loads(fields["data"])


class Frame(Stream):
    """A document that does not end, as an iframe loads it."""

    path, end = "frame", b"</div>\n"
    element = re.compile(r'data-event="(\w+)" data-id="\d+" data-json="([^"]*)"')

    def parse(self, text: str) -> Iterator[tuple[str, Any]]:
        for event, data in self.element.findall(text):
            yield event, json.loads(html.unescape(data))


class Refresh(Transport):
    """A browser without JavaScript: loads the address that the page names, after the seconds that it names."""

    again = re.compile(r'http-equiv="refresh" content="(\d+);url=([^"]*)"')
    state = re.compile(r'data-recovered="(\w+)"')
    message = re.compile(r'<li class="message[^"]*\bunread\b[^"]*" data-id="(\d+)">.*?<p class="text">(.*?)</p>', re.DOTALL)

    def read(self, tally: Tally) -> Iterator[Message]:
        address = f"{self.room}/refresh?after={tally.last}"
        while True:
            page = self.body(address).decode()
            demand(self.state.search(page)[1] == "true", tally)
            for number, text in self.message.findall(page):
                yield int(number), html.unescape(text)
            seconds, address = self.again.search(page).groups()
            address = html.unescape(address)
            time.sleep(float(seconds))


class WebSocket(Transport):
    socket: websocket.WebSocket | None = None

    def read(self, tally: Tally) -> Iterator[Message]:
        site = self.site
        origin = f"https://{site.name}:{site.port}"
        headers = [("Cookie", f"{site.cookie}={site.session}"), ("Origin", origin)]
        try:
            url = f"wss://{site.name}:{site.port}/ws/rooms/{site.room}/"
            self.socket = websocket.WebSocket.connect(url, headers=headers, tls=self.tls, timeout=TIMEOUT)
            self.socket.send(json.dumps({"type": "subscribe", "after": tally.last}))
            while True:
                frame = json.loads(self.socket.receive())
                if frame["type"] == "subscribed":
                    demand(frame["recovered"], tally)
                elif frame["type"] == "message":
                    yield frame["id"], frame["text"]
                else:
                    raise Ended(0, f"a frame {frame}")
        except websocket.Closed as closed:
            raise Ended(closed.code, closed.reason) from closed
        except websocket.Refused as refused:
            raise Ended(GONE.get(refused.status) or LATER.get(refused.status, 0), str(refused)) from refused

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def demand(recovered: bool, tally: Tally) -> None:
    """Nothing is pruned in a room this young: a feed that cannot go on from the last id has broken its promise."""
    if not recovered:
        raise Ended(4000, f"the feed did not recover from id {tally.last}")
