"""What each way of reading a room calls one unit, taken apart as it comes: an event, an element, a page."""

import html
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One unit of a stream: `message`, `recovery`, `close` or `heartbeat`, with its id and its data."""

    kind: str
    id: str
    data: Any


class EventStream:
    """Server-Sent Events: fields line by line, an empty line ends an event; a comment is a heartbeat."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events that `data` completes. Raises ValueError for data that is not JSON."""
        *blocks, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        for block in blocks:
            kind, number, lines = "message", "", []
            for line in block.decode().split("\n"):
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if field == "event":
                    kind = value
                elif field == "id":
                    number = value
                elif field == "data":
                    lines.append(value)
            if lines:
                yield Event(kind, number, json.loads("\n".join(lines)))
            elif block.startswith(b":"):
                yield Event("heartbeat", "", None)


class FrameDocument:
    """The document that does not end: an element an event, each on a line of its own."""

    ELEMENT = re.compile(r'^<div hidden data-event="([a-z]+)"(?: data-id="(\d+)" data-json="([^"]*)")?></div>')

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events that `data` completes. Raises ValueError for data that is not JSON."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if found := self.ELEMENT.match(line.decode()):
                kind, number, text = found.groups()
                yield Event(kind, number or "", json.loads(html.unescape(text)) if text else None)


class RefreshPage(HTMLParser):
    """A room's page without JavaScript: what it says of itself, its unread messages, when and where it loads again."""

    def __init__(self, page: str) -> None:
        """Raises ValueError for a page that is no such page."""
        super().__init__()
        self.recovered = False
        self.last = -1
        self.messages: list[dict[str, Any]] = []
        self.pause = 0.0
        self.address = ""
        self._in_text = False
        self.feed(page)
        if self.last < 0 or not self.address:
            raise ValueError("no room that refreshes itself")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        classes = given.get("class", "").split()
        if tag == "meta" and given.get("http-equiv") == "refresh":
            pause, _, address = given.get("content", "").partition(";url=")
            self.pause, self.address = float(pause), address
        elif tag == "section" and given.get("id") == "room":
            self.recovered, self.last = given.get("data-recovered") == "true", int(given.get("data-last", "-1"))
        elif tag == "li" and {"message", "unread"} <= set(classes):
            self.messages.append({"id": int(given["data-id"]), "text": ""})
        elif tag == "li":
            self._in_text = False
        elif tag == "p":
            self._in_text = "text" in classes and bool(self.messages)

    def handle_endtag(self, tag: str) -> None:
        if tag == "p":
            self._in_text = False

    def handle_data(self, data: str) -> None:
        if self._in_text:
            self.messages[-1]["text"] += data
