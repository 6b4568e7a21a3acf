"""A reader's WebSocket: sends and receives, and comes back after a loss."""

import json
import time
from typing import Any

import gevent
from gevent.event import AsyncResult

from .problems import NotReady, describe
from .recorder import RECORDER
from .tls import unverified
from .websocket import Closed, Refused, WebSocket

ACK_TIMEOUT_SECONDS = 10.0
RECONNECT_SECONDS = 1.0


class SocketLine:
    """Sends and receives on one WebSocket; after a loss it comes back and goes on after the last id it has."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader
        self.user = reader.user
        self.url = "ws" + self.user.host.removeprefix("http") + f"/ws/rooms/{reader.room}/"
        self.chance = self.user.random_for(f"reconnecting-{reader.place}")
        self.acks: dict[str, AsyncResult] = {}
        self.closing = False

    def open(self) -> None:
        """Connect, subscribe, and begin to read. Raises NotReady."""
        try:
            self._connect()
        except Refused as error:
            hint = "; this topology may have no WebSocket: --transport polling" if error.status != 403 else ""
            raise NotReady(f"{self.url}: {error}{hint}") from error
        except (OSError, Closed, ValueError) as error:
            raise NotReady(f"{self.url}: {describe(error)}") from error
        RECORDER.sockets_expected += 1
        self.reading = gevent.spawn(self._read_for_ever)

    def close(self) -> None:
        self.closing = True
        RECORDER.sockets_expected -= 1
        self.reading.kill(block=False)
        if not self.socket.is_closed:
            RECORDER.sockets_open -= 1
        self.socket.close()

    def publish(self, room: str, text: str, key: str) -> str:
        """Send a message and wait until it is acknowledged; the error text, or nothing."""
        waiting = self.acks[key] = AsyncResult()
        try:
            self.socket.send(json.dumps({"type": "publish", "text": text, "key": key}))
            return waiting.get(timeout=ACK_TIMEOUT_SECONDS)
        except gevent.Timeout:
            return f"no ack within {ACK_TIMEOUT_SECONDS:.0f} s"
        except (OSError, Closed) as error:
            return describe(error)
        finally:
            self.acks.pop(key, None)

    def _connect(self) -> None:
        account = self.user.account
        headers = [("Origin", account.origin), ("Cookie", account.cookie_header())]
        started = time.monotonic()
        self.counted_bytes = 0
        self.socket = WebSocket.connect(self.url, headers=headers, tls=unverified())
        self.socket.send(json.dumps({"type": "subscribe", "after": self.reader.sequence.last}))
        answer = json.loads(self.socket.receive())
        if answer.get("type") != "subscribed" or not answer.get("recovered"):
            self.socket.close()
            raise ValueError(f"the answer to subscribe is {str(answer)[:120]}, expected a recovered subscription")
        RECORDER.sockets_open += 1
        RECORDER.sockets_opened += 1
        self.user.report("CONNECT", "connect", started, started)

    def _read_for_ever(self) -> None:
        while not self.closing:
            try:
                while True:
                    message = self.socket.receive()
                    self._count()
                    self._handle(json.loads(message))
            except (Closed, ValueError, KeyError, TypeError) as error:
                if self.closing:
                    return
                RECORDER.sockets_open -= 1
                self._lost(describe(error))
            self._come_back()

    def _count(self) -> None:
        RECORDER.count("received_bytes", self.socket.received_at, self.socket.received_bytes - self.counted_bytes)
        self.counted_bytes = self.socket.received_bytes

    def _handle(self, frame: dict[str, Any]) -> None:
        kind = frame.get("type")
        if kind == "message":
            self.reader.received(frame, self.socket.received_at)
        elif kind == "ack" and frame.get("key") in self.acks:
            self.acks[frame["key"]].set("")
        elif kind == "error" and frame.get("key") in self.acks:
            self.acks[frame["key"]].set(f"{frame.get('code')}: {frame.get('detail')}")
        elif kind == "error":
            now = time.monotonic()
            self.user.report("SOCKET", "error frame", now, now, error=f"{frame.get('code')}: {frame.get('detail')}")

    def _lost(self, why: str) -> None:
        self.socket.close()
        now = time.monotonic()
        self.user.report("SOCKET", "connection", now, now, error=why)
        for waiting in self.acks.values():
            waiting.set("the connection was lost before the ack")

    def _come_back(self) -> None:
        while not self.closing:
            gevent.sleep(RECONNECT_SECONDS * self.chance.uniform(0.5, 1.5))
            try:
                return self._connect()
            except (OSError, Refused, Closed, ValueError) as error:
                now = time.monotonic()
                self.user.report("CONNECT", "connect", now, now, error=describe(error))
