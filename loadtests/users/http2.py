"""HTTP/2 by hand: h2 (which does no input or output) on a gevent socket; many requests on one connection."""

import socket
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent.event import AsyncResult
from gevent.lock import RLock
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset

from .tls import unverified

READ_BYTES = 65536


class Http2:
    """One connection; `get` may be called from many greenlets."""

    def __init__(self, site: str, timeout: float = 10.0) -> None:
        """Connect to `https://…` (ALPN h2) or `http://…` (prior knowledge). Raises OSError or ValueError."""
        parts = urlsplit(site)
        secure = parts.scheme == "https"
        self.scheme, self.authority = parts.scheme, parts.netloc
        self.socket = socket.create_connection((parts.hostname or "", parts.port or (443 if secure else 80)), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if secure:
            self.socket = unverified("h2").wrap_socket(self.socket, server_hostname=parts.hostname)
            if self.socket.selected_alpn_protocol() != "h2":
                self.socket.close()
                raise ValueError(f"{site} does not speak HTTP/2: it did not choose h2")
        self.socket.settimeout(None)
        self.protocol = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.lock = RLock()
        self.waiting: dict[int, AsyncResult] = {}
        self.answers: dict[int, list[Any]] = {}  # stream → status, pieces of its body
        self.end: Exception | None = None
        with self.lock:
            self.protocol.initiate_connection()
            self.flush()
        self.reader = gevent.spawn(self.read)

    def get(self, path: str, timeout: float) -> tuple[int, bytes]:
        """The status and the body. Raises OSError."""
        if self.end:
            raise self.end
        with self.lock:
            stream = self.protocol.get_next_available_stream_id()
            answer = self.waiting[stream] = AsyncResult()
            self.answers[stream] = [0, []]
            names = ((":method", "GET"), (":path", path), (":scheme", self.scheme), (":authority", self.authority))
            self.protocol.send_headers(stream, names, end_stream=True)
            self.flush()
        try:
            return answer.get(timeout=timeout)
        except gevent.Timeout:
            raise TimeoutError(f"no answer within {timeout:.0f} s") from None
        finally:
            self.waiting.pop(stream, None)
            self.answers.pop(stream, None)

    def flush(self) -> None:
        if data := self.protocol.data_to_send():
            self.socket.sendall(data)

    def read(self) -> None:
        try:
            while data := self.socket.recv(READ_BYTES):
                with self.lock:
                    for event in self.protocol.receive_data(data):
                        self.handle(event)
                    self.flush()
            raise ConnectionError("the connection was closed")
        except Exception as error:
            self.end = error if isinstance(error, OSError) else ConnectionError(str(error))
            for answer in self.waiting.values():
                answer.set_exception(self.end)

    def handle(self, event: Any) -> None:
        if isinstance(event, ConnectionTerminated):
            raise ConnectionError(f"the connection was ended with error code {event.error_code}")
        answer = self.answers.get(getattr(event, "stream_id", 0) or 0)
        if isinstance(event, DataReceived):
            self.protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if answer:
                answer[1].append(event.data)
        elif isinstance(event, ResponseReceived) and answer:
            answer[0] = int(dict(event.headers)[":status"])
        elif isinstance(event, StreamEnded) and answer:
            self.waiting[event.stream_id].set((answer[0], b"".join(answer[1])))
        elif isinstance(event, StreamReset) and answer:
            self.waiting[event.stream_id].set_exception(ConnectionError(f"the stream was reset: {event.error_code}"))

    def close(self) -> None:
        self.reader.kill()
        self.socket.close()
