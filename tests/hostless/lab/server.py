"""A small server that speaks like the demo application, and lies or freezes when asked.

    python server.py [--freeze-at SECONDS --freeze SECONDS] [--lie json|drop|duplicate|reorder|refuse|hang-up|reset] [--whole]

Prints the port it listens on. One asyncio process; a freeze stops all of it, like a stop-the-world pause.
WebSocket messages go out in two fragments after a ping, so that clients must cope with both; with --whole in one frame.
`drop`, `duplicate` and `reorder` are about every fifth message of a room; `close` ends a stream after every third; `reset`
ends a reader's connection when it leaves 1 MiB unread.
"""

import argparse
import asyncio
import html
import json
import socket
import struct
import sys
import time
from collections import defaultdict

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, RejectConnection, Request, TextMessage

ROW = {"id": 7, "number": 42}
UNREAD_BYTES = 2**20  # more than one that reads ever has waiting


def workload(path: str, lies: set[str]) -> tuple[int, str, bytes]:
    """Status, content type and body of a workload page."""
    if path == "/workload/json":
        text = "Hello, Mars!" if "json" in lies else "Hello, World!"
        return 200, "application/json", json.dumps({"message": text}).encode()
    if path in ("/workload/row", "/workload/write"):
        return 200, "application/json", json.dumps(ROW).encode()
    if path.startswith("/workload/rows"):
        return 200, "application/json", json.dumps({"rows": [ROW] * 20}).encode()
    if path.startswith("/workload/slow"):
        return 200, "application/json", json.dumps({"waited_ms": 100}).encode()
    if path == "/":
        return 200, "text/html", b'<link href="/static/a.css"><script src="/static/b.js"></script>'
    if path.startswith("/static/"):
        return 200, "text/plain", (path * (1 if "json" in lies else 2)).encode()
    if path == "/workload/page":
        return 200, "text/html", b"<html><table>" + b"<tr><td>1</td></tr>" * 51 + b"</table></html>"
    return 404, "text/plain", b"no such page"


def after_of(address: str) -> int:
    """The number in `…after=17&…`."""
    return int(address.partition("after=")[2].partition("&")[0])


class Server:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.lies = set(options.lie)
        self.first_request: float | None = None
        self.frozen = False
        self.rooms: dict[str, list[dict]] = defaultdict(list)
        self.readers: dict[str, list] = defaultdict(list)
        self.held: dict = {}  # reader → the message that it gets after the next

    def freeze_if_due(self) -> None:
        now = time.monotonic()
        if self.first_request is None:
            self.first_request = now
        if self.options.freeze and not self.frozen and now - self.first_request >= self.options.freeze_at:
            self.frozen = True
            time.sleep(self.options.freeze)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                method, path, _ = lines[0].split()
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:] if line)}
                if headers.get("upgrade", "").lower() == "websocket":
                    return await self.talk(path, head, reader, writer)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.freeze_if_due()
                await self.wait_for_news(path)
                if path.partition("?")[0].endswith(("/events", "/frame")):
                    return await self.stream(path, headers, reader, writer)
                status, kind, answer, more = self.answer(method, path, body)
                head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(answer)}\r\n{more}\r\n"
                writer.write(head.encode() + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, str, bytes, str]:
        if path == "/accounts/login/":
            return 200, "text/html", b"<html></html>", "Set-Cookie: csrftoken=abc; Path=/\r\n"
        if path == "/accounts/signup/":
            return 302, "text/html", b"", "Location: /rooms/\r\nSet-Cookie: sessionid=xyz; HttpOnly; Path=/\r\n"
        if path.startswith("/rooms/"):
            slug, _, rest = path.removeprefix("/rooms/").partition("/")
            return self.room(method, slug, rest, body)
        return *workload(path, self.lies), ""

    def room(self, method: str, slug: str, rest: str, body: bytes) -> tuple[int, str, bytes, str]:
        if rest.startswith("refresh"):
            return self.refresh_page(slug, after_of(rest))
        if not rest.startswith("messages"):
            return 200, "text/html", b"<html></html>", ""
        if method == "POST":
            frame = json.loads(body)
            number = self.publish(slug, frame["text"])
            return 201, "application/json", json.dumps({"id": number, "key": frame["key"]}).encode(), ""
        after = after_of(rest)
        found = self.history(slug, after)
        answer = {"messages": found, "recovered": True, "newest": len(self.rooms[slug])}
        return 200, "application/json", json.dumps(answer).encode(), ""

    def history(self, slug: str, after: int) -> list[dict]:
        """What a poll gets; lies as `publish` does."""
        found = []
        for message in self.rooms[slug]:
            if message["id"] > after and not ("drop" in self.lies and message["id"] % 5 == 0):
                found += [message] * (2 if "duplicate" in self.lies and message["id"] % 5 == 0 else 1)
        if "reorder" in self.lies and len(found) > 1:
            found[-2:] = found[:-3:-1]
        return found

    async def wait_for_news(self, path: str) -> None:
        """A long poll: until there is something after its id."""
        if "wait=" not in path:
            return
        slug = path.removeprefix("/rooms/").partition("/")[0]
        ends = time.monotonic() + int(path.partition("wait=")[2])
        while len(self.rooms[slug]) <= after_of(path) and time.monotonic() < ends:
            await asyncio.sleep(0.005)

    def refresh_page(self, slug: str, after: int) -> tuple[int, str, bytes, str]:
        found = self.history(slug, after)
        last = found[-1]["id"] if found else after
        items = "".join(f'<li class="message unread" data-id="{m["id"]}"><p class="text">{m["text"]}</p></li>' for m in found)
        refresh = f'<meta http-equiv="refresh" content="0.2;url=/rooms/{slug}/refresh?after={last}">'
        old = '<li class="message" data-id="1"><p class="text">old</p></li>'
        page = f'{refresh}<section id="room" data-recovered="true" data-last="{last}"><ol>{old}{items}</ol></section>'
        return 200, "text/html", page.encode(), ""

    async def stream(self, path: str, headers: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Server-Sent Events or the document that does not end, in pieces that cut through the events."""
        slug = path.removeprefix("/rooms/").partition("/")[0]
        is_frame = "/frame" in path
        after = int(headers.get("last-event-id", after_of(path)))
        writer.write(b"HTTP/1.1 200 X\r\nContent-Type: text/x\r\nTransfer-Encoding: chunked\r\n\r\n")

        def write(event: str, number: int, data: dict) -> None:
            text = json.dumps(data)
            if is_frame:
                whole = f'<div hidden data-event="{event}" data-id="{number}" data-json="{html.escape(text)}"></div>\n'
            else:
                whole = f": a comment\n\nid: {number}\nevent: {event}\ndata: {text}\n\n"
            for piece in (whole[:30].encode(), whole[30:].encode()):
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))

        def tell(message: dict) -> None:
            write("message", message["id"], message)
            if "close" in self.lies and message["id"] % 3 == 0:
                write("close", 4200, {"code": 4200, "reason": "time is up"})
                writer.write(b"0\r\n\r\n")
                self.readers[slug].remove(tell)

        write("recovery", after, {"after": after, "recovered": True})
        self.readers[slug].append(tell)
        for message in self.rooms[slug][after:]:
            if tell in self.readers[slug]:
                tell(message)
        try:
            await reader.read(1)
        finally:
            if tell in self.readers[slug]:
                self.readers[slug].remove(tell)

    def publish(self, slug: str, text: str) -> int:
        number = len(self.rooms[slug]) + 1
        message = {"type": "message", "id": number, "text": text}
        self.rooms[slug].append(message)
        for tell in list(self.readers[slug]):
            if "drop" in self.lies and number % 5 == 0:
                continue
            if "reorder" in self.lies and number % 5 == 0:
                self.held[tell] = message
                continue
            tell(message)
            if held := self.held.pop(tell, None):
                tell(held)
            if "duplicate" in self.lies and number % 5 == 0:
                tell(message)
        return number

    async def talk(self, path: str, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        slug = path.rstrip("/").rpartition("/")[2]
        protocol = WSConnection(ConnectionType.SERVER)
        protocol.receive_data(head)
        received = ""

        def tell(frame: dict) -> None:
            text = json.dumps(frame)
            if "reset" in self.lies and writer.transport.get_write_buffer_size() > UNREAD_BYTES:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return
            if self.options.whole:
                writer.write(protocol.send(TextMessage(text)))
                return
            writer.write(protocol.send(Ping(b"?")))
            writer.write(protocol.send(TextMessage(text[:5], message_finished=False)))
            writer.write(protocol.send(TextMessage(text[5:])))

        try:
            while True:
                for event in protocol.events():
                    if isinstance(event, Request) and "refuse" in self.lies:
                        writer.write(protocol.send(RejectConnection(status_code=501)))
                        return
                    if isinstance(event, Request):
                        writer.write(protocol.send(AcceptConnection()))
                    elif isinstance(event, TextMessage):
                        received += event.data
                        if not event.message_finished:
                            continue
                        self.freeze_if_due()
                        frame, received = json.loads(received), ""
                        if frame["type"] == "subscribe":
                            tell({"type": "subscribed", "after": frame["after"], "recovered": True})
                            self.readers[slug].append(tell)
                            for message in self.rooms[slug][frame["after"] :]:
                                tell(message)
                        elif "hang-up" in self.lies:
                            return
                        else:
                            tell({"type": "ack", "id": self.publish(slug, frame["text"]), "key": frame["key"]})
                    elif isinstance(event, CloseConnection):
                        writer.write(protocol.send(event.response()))
                        return
                data = await reader.read(65536)
                if not data:
                    return
                protocol.receive_data(data)
        finally:
            if tell in self.readers[slug]:
                self.readers[slug].remove(tell)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--freeze-at", type=float, default=0)
    parser.add_argument("--freeze", type=float, default=0)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--lie", action="append", default=[])
    server = await asyncio.start_server(Server(parser.parse_args()).handle, "127.0.0.1", 0, backlog=500)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(0)
