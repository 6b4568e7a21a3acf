"""Those who are connected: pages at a steady rate, sockets that talk, readers of streams, long pollers.

Pages start on a schedule that does not wait for answers. Every reader does what the demo's own pages do: told to come back it comes,
after the last id that it has. One crowd lives through all operations; `begin` and `end` bound a window, of which `end` says what was felt.
"""

import asyncio
import json
import random
import threading
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

from .felt import LATE_SECONDS, SERVICE_RESTART, Felt
from .site import Site

READY_SECONDS = 90
CAUGHT_UP_SECONDS = 60  # until the last message has come to everybody
SOON = (SERVICE_RESTART, 4200, 4201)  # codes that say: come back at once
WAIT = 25  # seconds of a long poll
PAGE = "/workload/row"
PAGE_TIMEOUT = aiohttp.ClientTimeout(total=20)
POLL_TIMEOUT = aiohttp.ClientTimeout(total=WAIT + 20)
CLOSING = aiohttp.ClientWSTimeout(ws_close=2)
AGAIN_SECONDS = 2  # what was not acknowledged is sent again, as the demo's own page does


@dataclass(frozen=True)
class Amounts:
    pages: float = 100  # a second
    sockets: int = 300
    messages: float = 20  # a second, all sockets together
    streams: int = 20
    pollers: int = 20


class Reader:
    """One who reads a room: its position, and since when it is away."""

    def __init__(self, crowd: "Crowd", number: int, kind: str) -> None:
        self.crowd, self.number, self.kind = crowd, number, kind
        self.room = crowd.site.rooms[number % len(crowd.site.rooms)]
        self.cookie = f"{crowd.site.cookie}={crowd.site.sessions[number % len(crowd.site.sessions)]}"
        self.position: int | None = None
        self.away_since: float | None = None
        self.subscribed = False
        self.unsure: dict[str, str] = {}  # key -> text of what was sent and not acknowledged

    @property
    def felt(self) -> Felt:
        return self.crowd.felt

    def began(self, after: int, recovered: bool) -> None:
        """The server says from where it goes on."""
        if self.position is None:
            self.position = after
        if not recovered:
            self.felt.unrecovered += 1
            self.position = after
        if self.away_since is not None:
            self.felt.away.append(time.monotonic() - self.away_since)
        self.away_since, self.subscribed = None, True

    def left(self, code: int | str, opened: bool) -> float:
        """It is over; returns how long to wait before the next attempt, in seconds."""
        counts = self.felt.refused if not opened else self.felt.ended if self.kind == "stream" else self.felt.closed
        counts[code] += 1
        self.subscribed = False
        if self.away_since is None:
            self.away_since = time.monotonic()
        return random.uniform(0, 0.5) if code in SOON else random.uniform(0.2, 1)

    def message(self, number: int, text: str) -> None:
        felt = self.felt
        if self.position is not None:
            felt.duplicated += number <= self.position
            felt.lost += max(0, number - self.position - 1)
            self.position = max(self.position, number)
        felt.delivered += 1
        if sent := self.crowd.sent.get(text):
            took = time.monotonic() - sent
            felt.late += took > LATE_SECONDS
            felt.slowest_delivery = max(felt.slowest_delivery, took)


class Crowd:
    """Runs in a thread of its own. `with Crowd(site, amounts) as crowd:` returns when everybody is there."""

    def __init__(self, site: Site, amounts: Amounts) -> None:
        self.site, self.amounts = site, amounts
        self.felt, self.window_began = Felt(), time.monotonic()
        self.readers: list[Reader] = []
        self.acknowledged: dict[str, int] = {}  # room -> the newest id that was acknowledged
        self.sent: dict[str, float] = {}  # text of a message -> when it was sent last
        self.ending = threading.Event()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "Crowd":
        self.thread.start()
        self.wait(self.everybody_reads, READY_SECONDS)
        return self

    def __exit__(self, *_: Any) -> None:
        self.ending.set()
        self.thread.join(30)

    def wait(self, until: Any, seconds: float) -> bool:
        """Wait until it is so; says whether it is. Raises what ended the crowd."""
        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            if self.error:
                raise self.error
            time.sleep(0.1)
        return bool(until())

    def everybody_reads(self) -> bool:
        wanted = self.amounts.sockets + self.amounts.streams + self.amounts.pollers
        return len(self.readers) == wanted and all(reader.subscribed for reader in self.readers)

    def behind(self) -> int:
        """Messages that were acknowledged and have not come to a reader yet, over all readers."""
        newest = dict(self.acknowledged)
        return sum(max(0, newest.get(r.room, 0) - (r.position or 0)) for r in self.readers if r.position is not None)

    def begin(self) -> None:
        """A window begins."""
        self.felt, self.window_began = Felt(), time.monotonic()

    def end(self, settle: float) -> Felt:
        """The window ends when everybody has been back and quiet for so many seconds; what is missing then is lost."""
        deadline, since = time.monotonic() + CAUGHT_UP_SECONDS, None
        closes = sum(self.felt.closed.values())
        while time.monotonic() < deadline:
            if self.error:
                raise self.error
            now = sum(self.felt.closed.values())
            if not self.everybody_reads() or now != closes:
                since, closes = None, now
            elif since is None:
                since = time.monotonic()
            elif time.monotonic() - since >= settle:
                break
            time.sleep(0.1)
        felt, newest = self.felt, dict(self.acknowledged)
        deadline = time.monotonic() + CAUGHT_UP_SECONDS
        missing = [(r, newest.get(r.room, 0)) for r in self.readers if r.position is not None]
        while any((r.position or 0) < n for r, n in missing) and time.monotonic() < deadline:
            time.sleep(0.1)
        felt.lost += sum(max(0, n - (r.position or 0)) for r, n in missing)
        absent = sum(not reader.subscribed for reader in self.readers)
        if absent:
            felt.away += [time.monotonic() - (r.away_since or time.monotonic()) for r in self.readers if not r.subscribed]
        self.felt = Felt()
        return felt

    # In the thread

    def _work(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:
            self.error = error

    async def _live(self) -> None:
        amounts = self.amounts
        connector = aiohttp.TCPConnector(limit=0, ssl=self.site.tls)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=20)
        async with aiohttp.ClientSession(
            self.site.url, connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
        ) as browser:
            tasks = [asyncio.create_task(self._visit(browser))]
            kinds: list[tuple[str, int, Any]] = [
                ("socket", amounts.sockets, self._socket),
                ("stream", amounts.streams, self._stream),
                ("poller", amounts.pollers, self._poll),
            ]
            number = 0
            for kind, count, act in kinds:
                for _ in range(count):
                    reader = Reader(self, number, kind)
                    self.readers.append(reader)
                    tasks.append(asyncio.create_task(act(reader, browser)))
                    number += 1
                    if number % 10 == 0:
                        await asyncio.sleep(0.1)  # they come in one after another
            try:
                while not self.ending.is_set():
                    await asyncio.sleep(0.2)
                    for task in tasks:
                        if task.done():
                            task.result()  # nobody ends by himself
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _visit(self, browser: aiohttp.ClientSession) -> None:
        """A page each 1/rate seconds, whether or not the others were answered."""
        visits: set[asyncio.Task] = set()
        first, number = time.monotonic(), 0
        while True:
            due = first + number / self.amounts.pages
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self._page(browser, due))
            visits.add(task)
            task.add_done_callback(visits.discard)
            number += 1

    async def _page(self, browser: aiohttp.ClientSession, due: float) -> None:
        """One page. A kept connection that turns out to be closed is tried once more on a new one, as browsers do."""
        felt, began = self.felt, self.window_began  # the window in which it was asked for
        why = None
        try:
            async with browser.get(PAGE, timeout=PAGE_TIMEOUT) as answer:
                await answer.read()
                if answer.status == 503 and "Retry-After" not in answer.headers:
                    why = "503 without Retry-After"
                elif answer.status != 200:
                    why = str(answer.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            why = type(error).__name__
        felt.pages += 1
        felt.slowest = max(felt.slowest, time.monotonic() - due)
        if why:
            felt.failed.append((why, due - began))

    # Sockets

    async def _socket(self, reader: Reader, browser: aiohttp.ClientSession) -> None:
        headers = {"Cookie": reader.cookie, "Origin": self.site.url}
        while True:
            opened, code = False, 1006
            try:
                async with browser.ws_connect(f"/ws/rooms/{reader.room}/", headers=headers, timeout=CLOSING) as socket:
                    opened = True
                    await self._talk_and_listen(socket, reader)
                    code = socket.close_code or 1006
            except aiohttp.WSServerHandshakeError as refused:
                code = refused.status
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                code = 1006 if opened else type(error).__name__
            await asyncio.sleep(reader.left(code, opened))

    async def _talk_and_listen(self, socket: aiohttp.ClientWebSocketResponse, reader: Reader) -> None:
        await socket.send_json({"type": "subscribe", "after": reader.position})
        for key, text in list(reader.unsure.items()):  # the key says that it is the same message
            await self._publish(socket, key, text)
        talking = asyncio.create_task(self._talk(socket, reader))
        try:
            async for message in socket:
                if message.type == aiohttp.WSMsgType.TEXT:
                    self._hear(json.loads(message.data), reader)
        finally:
            talking.cancel()

    def _hear(self, frame: dict[str, Any], reader: Reader) -> None:
        if frame["type"] == "message":
            reader.message(frame["id"], frame["text"])
        elif frame["type"] == "subscribed":
            reader.began(frame["after"], frame["recovered"])
        elif frame["type"] == "ack":
            if reader.unsure.pop(frame["key"], None) is not None:
                self.felt.published += 1
            self.acknowledged[reader.room] = max(self.acknowledged.get(reader.room, 0), frame["id"])
        elif frame["type"] == "error" and frame["code"] == "unavailable":
            self.felt.unavailable += 1  # `_talk` sends it again

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse, reader: Reader) -> None:
        """Publishes now and then, and again what has not been acknowledged in the meantime."""
        pause = self.amounts.sockets / self.amounts.messages
        await asyncio.sleep(random.uniform(0, pause))
        while True:
            for key, text in list(reader.unsure.items()):
                await self._publish(socket, key, text)
            key = f"{reader.number}-{time.monotonic_ns()}"
            reader.unsure[key] = f"from {key}"
            await self._publish(socket, key, reader.unsure[key])
            wake = time.monotonic() + pause
            while time.monotonic() < wake:
                await asyncio.sleep(min(AGAIN_SECONDS, max(0.01, wake - time.monotonic())))
                for key, text in list(reader.unsure.items()):
                    await self._publish(socket, key, text)

    async def _publish(self, socket: aiohttp.ClientWebSocketResponse, key: str, text: str) -> None:
        self.sent[text] = time.monotonic()
        if len(self.sent) > 20_000:
            for old in list(self.sent)[:10_000]:
                del self.sent[old]
        await socket.send_json({"type": "publish", "text": text, "key": key})

    # Streams and long polls

    async def _stream(self, reader: Reader, browser: aiohttp.ClientSession) -> None:
        while True:
            code, opened, pause = 1006, False, 0.0
            after = {} if reader.position is None else {"after": str(reader.position)}
            try:
                async with browser.get(f"/rooms/{reader.room}/events", params=after, headers={"Cookie": reader.cookie}) as answer:
                    opened = answer.status == 200
                    if opened:
                        code = await self._events(answer, reader)
                    else:
                        code, pause = answer.status, float(answer.headers.get("Retry-After", 0))
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                code = 1006 if opened else type(error).__name__
            await asyncio.sleep(max(pause, reader.left(code, opened)))

    async def _events(self, answer: aiohttp.ClientResponse, reader: Reader) -> int:
        """Returns the code of the last event, 1006 where there was none."""
        event = ""
        async for raw in answer.content:
            line = raw.decode().rstrip("\n")
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
                if event == "recovery":
                    reader.began(data["after"], data["recovered"])
                elif event == "message":
                    reader.message(data["id"], data["text"])
                elif event == "close":
                    return data["code"]
        return 1006

    async def _poll(self, reader: Reader, browser: aiohttp.ClientSession) -> None:
        while True:
            code: int | str = 1006
            pause = 0.0
            # The first one only asks where the room ends.
            asked = {"limit": "1"} if reader.position is None else {"after": str(reader.position), "wait": str(WAIT)}
            try:
                async with browser.get(
                    f"/rooms/{reader.room}/messages", params=asked, headers={"Cookie": reader.cookie}, timeout=POLL_TIMEOUT
                ) as answer:
                    if answer.status == 200:
                        page = await answer.json()
                        if reader.position is None:
                            reader.began(page["newest"], True)
                            continue
                        reader.began(reader.position, page["recovered"])
                        for frame in page["messages"]:
                            reader.message(frame["id"], frame["text"])
                        continue
                    code, pause = answer.status, float(answer.headers.get("Retry-After", 0))
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                code = type(error).__name__
            await asyncio.sleep(max(pause, reader.left(code, False)))
