"""Members of chat rooms who write now and then and check what they get: complete, in order, once.

Every message carries the intended start of its publishing, so each receiver in this process knows the delay from
there. `delivery` is that delay; `publish` is the time until the server has acknowledged that the message is stored.
"""

import functools
import json
import secrets
import ssl
import time
from collections import Counter
from typing import Any

import gevent

from .account import AccountUser
from .base import NotReady, describe
from .pacing import constant
from .recorder import RECORDER
from .websocket import Closed, Refused, WebSocket

PROCESS = secrets.token_hex(4)
"""Marks the messages of this process: the monotonic clock of another one means nothing here."""

ACK_TIMEOUT_SECONDS = 10.0
RECONNECT_SECONDS = 1.0


class ChatUser(AccountUser):
    """Joins a room, publishes at `--message-rate`, and receives by WebSocket or by polling (`--transport`)."""

    members: Counter[str] = Counter()
    """How many users of this process are in each room."""

    def prepare(self) -> None:
        super().prepare()
        self.room = self.enter_room()
        self.last_id = self.newest_id()
        kind = {"websocket": SocketLine, "polling": PollingLine}[self.options.transport]
        self.line: SocketLine | PollingLine = kind(self)
        self.line.open()
        self.members[self.room] += 1

    def rate(self) -> float:
        return self.options.message_rate

    def on_stop(self) -> None:
        super().on_stop()
        if self.pacer:
            self.members[self.room] -= 1
            self.line.close()

    def send(self, intended: float) -> None:
        """Publish one message; it must come back to every member of the room."""
        expected = self.members[self.room]
        key = secrets.token_hex(8)
        in_window = RECORDER.in_window(intended)
        RECORDER.sending(intended)
        RECORDER.outstanding += expected * in_window
        started = time.monotonic()
        error = self.line.publish(f"{PROCESS} {intended:.6f}", key)
        self.report("PUBLISH", "publish", intended, started, error=error)
        if error:
            RECORDER.outstanding -= expected * in_window
        else:
            RECORDER.count("published", intended)
            RECORDER.count("deliveries_expected", intended, expected)

    def received(self, message: dict[str, Any], at: float) -> None:
        """Check one message that arrived at `at` (monotonic seconds) and record how long it took."""
        number = message["id"]
        if number <= self.last_id:
            RECORDER.count("duplicates", at)
            return
        if number > self.last_id + 1:
            RECORDER.count("gaps", at, number - self.last_id - 1)
        self.last_id = number
        process, _, moment = message["text"].partition(" ")
        if process != PROCESS:
            return
        intended = float(moment)
        RECORDER.count("deliveries", intended)
        RECORDER.answered("DELIVER", "delivery", intended, intended, at)
        self.environment.events.request.fire(
            request_type="DELIVER",
            name="delivery",
            response_time=(at - intended) * 1000,
            response_length=len(message["text"]),
            exception=None,
            context={},
        )

    def newest_id(self) -> int:
        """The id of the room's newest message."""
        response = self._visit("GET", f"/rooms/{self.room}/messages?after=0", 200)
        return int(json.loads(response.content)["newest"])


class SocketLine:
    """Sends and receives on one WebSocket; after a loss it comes back and goes on after the last id it has."""

    def __init__(self, user: ChatUser) -> None:
        self.user = user
        self.url = "ws" + user.host.removeprefix("http") + f"/ws/rooms/{user.room}/"
        self.chance = user.random_for("reconnecting")
        self.acks: dict[str, gevent.event.AsyncResult] = {}
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
        self.reader = gevent.spawn(self._read_for_ever)

    def close(self) -> None:
        self.closing = True
        RECORDER.sockets_expected -= 1
        self.reader.kill(block=False)
        if not self.socket.is_closed:
            RECORDER.sockets_open -= 1
        self.socket.close()

    def publish(self, text: str, key: str) -> str:
        """Send a message and wait until it is acknowledged; the error text, or nothing."""
        waiting = self.acks[key] = gevent.event.AsyncResult()
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
        self.socket = WebSocket.connect(self.url, headers=headers, tls=unverified())
        self.socket.send(json.dumps({"type": "subscribe", "after": self.user.last_id}))
        answer = json.loads(self.socket.receive())
        if answer.get("type") != "subscribed" or not answer.get("recovered"):
            self.socket.close()
            raise ValueError(f"the answer to subscribe is {str(answer)[:120]}, expected a recovered subscription")
        RECORDER.sockets_open += 1
        self.user.report("CONNECT", "connect", started, started)

    def _read_for_ever(self) -> None:
        while not self.closing:
            try:
                while True:
                    self._handle(json.loads(self.socket.receive()))
            except (Closed, ValueError, KeyError, TypeError) as error:
                if self.closing:
                    return
                RECORDER.sockets_open -= 1
                self._lost(describe(error))
            self._come_back()

    def _handle(self, frame: dict[str, Any]) -> None:
        kind = frame.get("type")
        if kind == "message":
            self.user.received(frame, self.socket.received_at)
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


class PollingLine:
    """Asks for new messages at fixed intervals and publishes with POST: chat where there is no WebSocket."""

    def __init__(self, user: ChatUser) -> None:
        self.user = user
        self.path = f"/rooms/{user.room}/messages"
        self.chance = user.random_for("polling")
        self.headers = user.account.headers()

    def open(self) -> None:
        self.poller = gevent.spawn(self._poll_for_ever)

    def close(self) -> None:
        self.poller.kill(block=False)

    def publish(self, text: str, key: str) -> str:
        user = self.user
        try:
            response = user.client.client.urlopen(
                user.host + self.path,
                method="POST",
                headers=self.headers | {"Content-Type": "application/json"},
                payload=json.dumps({"text": text, "key": key}),
                max_redirects=0,
            )
            answer = json.loads(response.content)
        except Exception as error:
            return describe(error)
        return "" if response.status_code == 201 and answer.get("key") == key else f"status {response.status_code}"

    def _poll_for_ever(self) -> None:
        for intended in constant(1 / self.user.options.poll_interval, time.monotonic(), self.chance):
            gevent.sleep(max(0.0, intended - time.monotonic()))
            response = self.user.request(
                "GET",
                f"{self.path}?after={self.user.last_id}",
                check_history,
                name="poll",
                intended=intended,
                headers=self.headers,
                max_redirects=0,
            )
            if response is not None:
                at = time.monotonic()
                for message in json.loads(response.content)["messages"]:
                    self.user.received(message, at)


def check_history(response: Any) -> str:
    if response.status_code != 200:
        return f"status {response.status_code}, expected 200"
    answer = json.loads(response.content)
    if not isinstance(answer.get("messages"), list):
        return "no list of messages"
    return "" if answer.get("recovered") is True else "the history does not reach back"


@functools.cache
def unverified() -> ssl.SSLContext:
    """TLS without a check of the certificate, as Locust's own users do: test hosts have a CA of their own.

    Made once; a default context would read all certificates of the system for each socket.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
