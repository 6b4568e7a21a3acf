"""HTTP/1.1 by hand: h11 (which does no input or output) on a gevent socket.

For readers of a feed: an answer is seen piece by piece as it comes, and every byte is counted.
"""

import socket
import ssl
import time
from urllib.parse import urlsplit

import h11

READ_BYTES = 65536


class Connection:
    """One connection to a site, kept as long as both sides like. Not for several greenlets at once."""

    def __init__(self, site: str, *, tls: ssl.SSLContext | None = None, timeout: float = 10.0) -> None:
        """Connect to `http://…` or `https://…`. `timeout` (seconds) is for each wait. Raises OSError."""
        parts = urlsplit(site)
        secure = parts.scheme == "https"
        self.host = parts.netloc
        self.received_bytes = 0
        self.received_at = time.monotonic()
        raw = socket.create_connection((parts.hostname or "", parts.port or (443 if secure else 80)), timeout=timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket = (tls or ssl.create_default_context()).wrap_socket(raw, server_hostname=parts.hostname) if secure else raw
        except BaseException:
            raw.close()
            raise
        self._http = h11.Connection(h11.CLIENT)

    def ask(self, target: str, headers: dict[str, str], *, timeout: float = 30.0) -> h11.Response:
        """Send a GET and return the head of its answer; the body comes from `piece`. Raises OSError or h11's ProtocolError."""
        self._socket.settimeout(timeout)
        self._http.start_next_cycle() if self._http.our_state is h11.DONE else None
        request = h11.Request(method="GET", target=target, headers=[("Host", self.host), *headers.items()])
        self._socket.sendall(self._http.send(request) + self._http.send(h11.EndOfMessage()))
        while not isinstance(event := self._next(), h11.Response):
            if isinstance(event, h11.ConnectionClosed):
                raise ConnectionError("the connection was closed without an answer")
        return event

    def piece(self) -> bytes | None:
        """The next piece of the body, as soon as there is one; None at its end."""
        while True:
            event = self._next()
            if isinstance(event, h11.Data):
                return bytes(event.data)
            if isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                return None

    def body(self) -> bytes:
        return b"".join(iter(self.piece, None))

    @property
    def can_go_on(self) -> bool:
        """Whether another `ask` may follow."""
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    def close(self) -> None:
        self._socket.close()

    def _next(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = self._socket.recv(READ_BYTES)
            self.received_at = time.monotonic()
            self.received_bytes += len(data)
            self._http.receive_data(data)
        return event
