"""A WebSocket client for load: wsproto (which does no input or output) on a gevent socket.

About 17 µs of CPU per received message. Compression is not offered, so that the bytes on the wire are the message.
"""

import contextlib
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterable
from urllib.parse import urlsplit

from gevent.lock import RLock
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

READ_BYTES = 65536
LONGEST_REFUSAL = 4096


class Refused(Exception):
    """The server answered the handshake with something other than 101."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body
        text = body[:120].decode("utf-8", "replace").strip()
        super().__init__(f"the handshake was refused with status {status}{': ' + text if text else ''}")


class Closed(Exception):
    """The connection is closed. `code` is 1006 when no close frame came."""

    def __init__(self, code: int, reason: str = "") -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"closed with code {code}{': ' + reason if reason else ''}")


class WebSocket:
    """One open connection. `send` may be called from many greenlets, `receive` from one."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._messages: deque[str | bytes] = deque()
        self._parts: list[str | bytes] = []
        self._writing = RLock()
        self._end: Closed | None = None
        self.received_at = 0.0
        """Monotonic seconds at which the bytes that completed the last message arrived."""
        self.received_bytes = 0
        """Bytes since the handshake, above TLS."""

    @property
    def is_closed(self) -> bool:
        return self._end is not None

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        tls: ssl.SSLContext | None = None,
        timeout: float = 10.0,
    ) -> "WebSocket":
        """Open `ws://…` or `wss://…`; `timeout` (seconds) holds until the handshake is answered.

        Raises Refused, Closed, OSError (TimeoutError and ssl.SSLError among them) or ValueError for another scheme.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise ValueError(f"the address is {url!r}, expected ws://host/path or wss://host/path")
        secure = parts.scheme == "wss"
        raw = socket.create_connection((parts.hostname, parts.port or (443 if secure else 80)), timeout=timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if secure:
                context = tls or ssl.create_default_context()
                raw = context.wrap_socket(raw, server_hostname=parts.hostname)
            self = cls(raw)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            try:
                self._shake_hands(parts.netloc, target, list(headers))
            except ProtocolError as error:
                raise Closed(1002, f"the answer to the handshake is no HTTP: {error}") from error
            raw.settimeout(None)
        except BaseException:
            raw.close()
            raise
        return self

    def send(self, message: str | bytes) -> None:
        """Send one message. Raises Closed or OSError."""
        if self._end or self._protocol.state is not ConnectionState.OPEN:
            raise self._end or Closed(1006)
        event = TextMessage(data=message) if isinstance(message, str) else BytesMessage(data=message)
        self._write(self._protocol.send(event))

    def receive(self) -> str | bytes:
        """Wait for the next whole message. Pings are answered meanwhile. Raises Closed."""
        while not self._messages:
            if self._end:
                raise self._end
            self._read()
        return self._messages.popleft()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye and close the socket, without waiting for the answer. Never raises."""
        try:
            if self._protocol.state is ConnectionState.OPEN:
                self._write(self._protocol.send(CloseConnection(code=code, reason=reason)))
        except (OSError, ProtocolError):
            pass
        finally:
            self._end = self._end or Closed(code, reason)
            self._socket.close()

    def _shake_hands(self, host: str, target: str, headers: list[tuple[str, str]]) -> None:
        request = Request(host=host, target=target, extra_headers=[(k.encode(), v.encode()) for k, v in headers])
        self._write(self._protocol.send(request))
        refusal: RejectConnection | None = None
        body = b""
        while self._protocol.state is ConnectionState.CONNECTING or refusal:
            data = self._socket.recv(READ_BYTES)
            self._protocol.receive_data(data or None)
            for event in self._protocol.events():
                if isinstance(event, AcceptConnection):
                    # Frames may follow the handshake in the same packet.
                    self.received_at = time.monotonic()
                    self._handle(self._protocol.events())
                    return
                if isinstance(event, RejectConnection):
                    refusal = event
                    if not event.has_body:
                        raise Refused(event.status_code, b"")
                if isinstance(event, RejectData):
                    body += event.data
                    if event.body_finished or len(body) > LONGEST_REFUSAL:
                        raise Refused(refusal.status_code if refusal else 0, body)
            if not data:
                raise Refused(refusal.status_code, body) if refusal else Closed(1006, "no answer to the handshake")

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except OSError as error:
            self._end = self._end or Closed(1006, str(error))
            self._socket.close()
            return
        self.received_at = time.monotonic()
        self.received_bytes += len(data)
        if not data:
            self._end = self._end or Closed(1006, "the peer hung up without a close frame")
            self._socket.close()
            return
        try:
            self._protocol.receive_data(data)
            self._handle(self._protocol.events())
        except ProtocolError as error:
            self._end = Closed(1002, str(error))
            self._socket.close()

    def _handle(self, events: Iterable[object]) -> None:
        for event in events:
            if isinstance(event, TextMessage | BytesMessage):
                self._parts.append(event.data)
                if event.message_finished:
                    empty = "" if isinstance(event, TextMessage) else b""
                    self._messages.append(empty.join(self._parts) if len(self._parts) > 1 else self._parts[0])
                    self._parts.clear()
            elif isinstance(event, Ping):
                self._write(self._protocol.send(event.response()))
            elif isinstance(event, CloseConnection):
                self._end = Closed(event.code, event.reason or "")
                if self._protocol.state is ConnectionState.REMOTE_CLOSING:
                    with contextlib.suppress(OSError):
                        self._write(self._protocol.send(event.response()))
                self._socket.close()

    def _write(self, data: bytes) -> None:
        # A full send buffer makes sendall yield; without the lock another greenlet's frame could land inside this one.
        with self._writing:
            self._socket.sendall(data)
