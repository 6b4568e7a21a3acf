"""How a reader gets a room's messages over HTTP: polling, long polling, Server-Sent Events, a streamed document, pages.

A line belongs to a reader, which has `user`, `room`, `sequence` and `received(message, at)`. It opens, reads until
it is closed, and after a loss comes back after the last id that the reader has.
"""

import json
import time
from typing import Any

import gevent
import h11
from gevent.event import Event as Flag

from .connection import Connection
from .pacing import constant
from .problems import NotReady, describe
from .recorder import RECORDER
from .tls import unverified
from .units import EventStream, FrameDocument, RefreshPage

OPEN_TIMEOUT_SECONDS = 20.0
LONG_POLL_SECONDS = 25
SILENCE_SECONDS = 60.0
BACK_AT_ONCE = {1012, *range(4200, 4300)}
STAYS_AWAY = {4000, 4001, 4004}


class Lost(Exception):
    """A stream ended; `code` is that of its close event, or 1006."""

    def __init__(self, code: int, why: str) -> None:
        self.code = code
        super().__init__(why)


class Busy(Exception):
    """The server has no place to wait; it says after how many seconds to come back."""

    def __init__(self, pause: float) -> None:
        self.pause = pause
        super().__init__("every place to wait is taken")


class HttpLine:
    """What all have in common: a greenlet, one kept connection, and counting."""

    is_stream = False

    def __init__(self, reader: Any) -> None:
        self.reader = reader
        self.user = reader.user
        self.chance = self.user.random_for(f"line-{reader.place}")
        self.opened = Flag()
        self.connection: Connection | None = None
        self.counted_bytes = 0
        self.trouble = ""

    def open(self) -> None:
        """Begin to read; return once the first answer is there. Raises NotReady."""
        self.greenlet = gevent.spawn(self._run)
        if not self.opened.wait(OPEN_TIMEOUT_SECONDS):
            self.greenlet.kill()
            raise NotReady(f"{self.target()}: {self.trouble or 'no answer'} within {OPEN_TIMEOUT_SECONDS:.0f} s")
        if self.is_stream:
            RECORDER.sockets_expected += 1

    def close(self) -> None:
        self.greenlet.kill()
        if self.is_stream:
            RECORDER.sockets_expected -= 1
        self._drop()

    def target(self) -> str:
        raise NotImplementedError

    def _run(self) -> None:
        raise NotImplementedError

    def _drop(self) -> None:
        if self.connection:
            self.connection.close()
            self.connection = None

    def _ask(self, target: str, headers: dict[str, str] | None = None, timeout: float = SILENCE_SECONDS) -> h11.Response:
        if self.connection is None or not self.connection.can_go_on:
            self._drop()
        if self.connection is None:
            self.connection, self.counted_bytes = Connection(self.user.host, tls=unverified()), 0
            return self.connection.ask(target, self._headers() | (headers or {}), timeout=timeout)
        try:
            return self.connection.ask(target, self._headers() | (headers or {}), timeout=timeout)
        except (OSError, h11.RemoteProtocolError):
            # The server may close a kept connection the moment it is used again; a new one tells.
            self._drop()
            return self._ask(target, headers, timeout)

    def _headers(self) -> dict[str, str]:
        return {"Cookie": self.user.account.cookie_header()}

    def _count(self) -> None:
        if self.connection:
            RECORDER.count("received_bytes", self.connection.received_at, self.connection.received_bytes - self.counted_bytes)
            self.counted_bytes = self.connection.received_bytes

    def _failed(self, kind: str, name: str, since: float, failure: Exception) -> None:
        self.trouble = describe(failure)
        self.user.report(kind, name, since, since, error=self.trouble)
        self._drop()


class PollingLine(HttpLine):
    """Asks for new messages at fixed intervals."""

    name = "poll"

    def target(self) -> str:
        return f"/rooms/{self.reader.room}/messages?after={self.reader.sequence.last}"

    def _run(self) -> None:
        for intended in constant(1 / self.user.options.poll_interval, time.monotonic(), self.chance):
            gevent.sleep(max(0.0, intended - time.monotonic()))
            self._poll(intended)

    def _poll(self, intended: float, timeout: float = SILENCE_SECONDS) -> None:
        RECORDER.sending(intended)
        started = time.monotonic()
        try:
            response = self._ask(self.target(), timeout=timeout)
            body = self.connection.body()
            if response.status_code in (429, 503) and (pause := retry_after(response)):
                raise Busy(pause)
            messages = self._messages(response.status_code, body)
        except Busy:
            RECORDER.outstanding -= RECORDER.in_window(intended)
            raise
        except (OSError, ValueError, KeyError, TypeError, h11.ProtocolError) as failure:
            self.trouble = describe(failure)
            self.user.report("GET", self.name, intended, started, error=self.trouble)
            self._drop()
            return
        self.user.report("GET", self.name, intended, started, size=len(body))
        at = self.connection.received_at
        self._count()
        for message in messages:
            self.reader.received(message, at)
        self.opened.set()

    def _messages(self, status: int, body: bytes) -> list[dict[str, Any]]:
        if status != 200:
            raise ValueError(f"status {status}, expected 200")
        answer = json.loads(body)
        if answer.get("recovered") is not True:
            raise ValueError("the history does not reach back")
        return answer["messages"]


class LongPollingLine(PollingLine):
    """Asks again at once; an answer comes with the next message, or empty after 25 s."""

    name = "long poll"

    def target(self) -> str:
        # The first one does not wait: it tells that the way is open.
        wait = f"&wait={LONG_POLL_SECONDS}" if self.opened.is_set() else ""
        return super().target() + wait

    def _run(self) -> None:
        while True:
            try:
                before = self.reader.sequence.last, self.trouble
                self._poll(time.monotonic())
                if self.trouble != before[1]:
                    gevent.sleep(self.chance.uniform(0.5, 1.5))
            except Busy as busy:
                # What the protocol asks for. It costs delay, which shows.
                RECORDER.count("busy", time.monotonic())
                gevent.sleep(busy.pause * self.chance.uniform(0.5, 1.0))


class RefreshLine(PollingLine):
    """Loads the page without JavaScript again, when and where the page says."""

    name = "refresh"
    _pause, _address = 0.0, ""

    def target(self) -> str:
        return self._address or f"/rooms/{self.reader.room}/refresh?after={self.reader.sequence.last}"

    def _run(self) -> None:
        while True:
            self._poll(time.monotonic())
            # The first pause is cut at random, or all readers would load at once.
            gevent.sleep(self._pause if self._pause else self.chance.uniform(0.1, 3.0))

    def _messages(self, status: int, body: bytes) -> list[dict[str, Any]]:
        if status != 200:
            raise ValueError(f"status {status}, expected 200")
        page = RefreshPage(body.decode())
        if not page.recovered:
            raise ValueError("the history does not reach back")
        self._pause = page.pause if self.opened.is_set() else self.chance.uniform(0, page.pause)
        self._address = page.address
        return page.messages


class StreamLine(HttpLine):
    """An answer that does not end."""

    is_stream = True
    path = ""
    parser: type[EventStream] | type[FrameDocument]

    def target(self) -> str:
        return f"/rooms/{self.reader.room}/{self.path}?after={self.reader.sequence.last}"

    def resume_headers(self) -> dict[str, str]:
        return {}

    def _run(self) -> None:
        tries = 0
        while True:
            is_open = False
            since = time.monotonic()
            try:
                for is_open in self._stream():  # noqa: B007  `finally` wants it
                    tries = 0
            except Busy as busy:
                RECORDER.count("busy", since)
                self.trouble = str(busy)
                pause = busy.pause * self.chance.uniform(0.5, 1.0)
            except Lost as lost:
                if lost.code in STAYS_AWAY:
                    return self._failed("STREAM", "stream", since, lost)
                pause = 0.0 if lost.code in BACK_AT_ONCE else self.chance.uniform(0, min(10.0, 2.0**tries))
                if lost.code not in BACK_AT_ONCE:
                    self._failed("STREAM", "stream", time.monotonic(), lost)
                else:
                    RECORDER.count("resumed", time.monotonic())
            except (OSError, ValueError, KeyError, TypeError, h11.ProtocolError) as failure:
                self._failed("STREAM", "stream", time.monotonic(), failure)
                pause = self.chance.uniform(0, min(10.0, 2.0**tries))
            finally:
                RECORDER.sockets_open -= is_open
            self._drop()
            tries += 1
            gevent.sleep(pause)

    def _stream(self) -> Any:
        """Read one stream to its end, which raises Lost; yield True when it is open."""
        response = self._ask(self.target(), self.resume_headers())
        if response.status_code != 200:
            self.connection.body()
            if response.status_code in (429, 503) and (pause := retry_after(response)):
                raise Busy(pause)
            raise ValueError(f"status {response.status_code}, expected 200")
        events = self.parser()
        while (piece := self.connection.piece()) is not None:
            self._count()
            for event in events.feed(piece):
                if event.kind == "recovery":
                    if not event.data["recovered"]:
                        raise ValueError("the history does not reach back")
                    RECORDER.sockets_open += 1
                    RECORDER.sockets_opened += 1
                    self.opened.set()
                    yield True
                elif event.kind == "message":
                    if event.id != str(event.data["id"]):
                        raise ValueError(f"the event has id {event.id}, its message {event.data['id']}")
                    self.reader.received(event.data, self.connection.received_at)
                elif event.kind == "close":
                    raise Lost(event.data["code"], f"closed with code {event.data['code']}: {event.data['reason']}")
        raise Lost(1006, "the stream ended without a close")


class EventsLine(StreamLine):
    path = "events"
    parser = EventStream

    def resume_headers(self) -> dict[str, str]:
        return {"Accept": "text/event-stream", "Last-Event-ID": str(self.reader.sequence.last)}


class FrameLine(StreamLine):
    path = "frame"
    parser = FrameDocument


def retry_after(response: h11.Response) -> float:
    """Seconds after which to come back; 0 when the answer does not say."""
    return next((float(value) for name, value in response.headers if name == b"retry-after" and value.isdigit()), 0.0)
