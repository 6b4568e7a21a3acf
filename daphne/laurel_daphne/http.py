"""HTTP requests that know about the drain and that are logged once each."""

import time

from twisted.web import http

from daphne import http_protocol
from laurel_daphne import metrics
from laurel_daphne.flow import SendGate
from laurel_daphne.logs import logger

# Twisted, as of 26.10, says "Unknown Status" of it.
http.RESPONSES.setdefault(426, b"Upgrade Required")
RETRY_SECONDS = 1
CLIENT_CLOSED_REQUEST = 499  # nginx's name for it


class WebRequest(http_protocol.WebRequest):
    """One HTTP request, or the upgrade request of a WebSocket."""

    began = None
    done = False
    gate = None  # shut while the client does not read

    def process(self):
        self.began = time.monotonic()
        self.is_upgrade = (self.getHeader(b"upgrade") or b"").lower() == b"websocket"
        if not self.is_upgrade:
            metrics.http_in_flight.inc()
        elif self.server.leaving:
            self.is_upgrade = False
            metrics.http_in_flight.inc()
            metrics.handshakes_refused.labels("draining").inc()
            return self.basic_error(503, b"Service Unavailable", "Restarting")
        elif 0 < self.server.options.websocket_opening <= len(self.server.opening):
            # Who waits longer than the handshake may take has cost as much as one that was let in, and comes again. Not 503, for which
            # the proxy would ask the next one, which is as busy.
            self.is_upgrade = False
            metrics.http_in_flight.inc()
            metrics.handshakes_refused.labels("busy").inc()
            self.setHeader(b"retry-after", str(RETRY_SECONDS).encode())
            return self.basic_error(429, b"Too Many Requests", "Too many handshakes at once")
        return super().process()

    def handle_reply(self, message):
        if message.get("type") == "http.response.start" and self.server.leaving and self.channel is not None:
            # The proxy must not send another request down a connection that is about to go.
            self.setHeader(b"connection", b"close")
            self.channel.persistent = False
        super().handle_reply(message)
        if self.gate is None and self._response_started and not self.finished and self.channel is not None:
            self.gate = SendGate()
            self.registerProducer(self.gate, True)

    async def writable(self):
        """Waits while the client does not read; cuts it when that takes too long."""
        limit = self.server.options.send_timeout
        if not await self.gate.wait(limit) and self.channel is not None:
            metrics.slow_readers_closed.inc()
            logger.warning("cut a slow reader of %s after %g s", self.path.decode("latin1"), limit)
            self.channel.transport.abortConnection()

    def check_timeouts(self):
        # Daphne also cuts a response that is being streamed when --http-timeout has passed.
        if not self._response_started:
            super().check_timeouts()

    def finish(self):
        if self.gate is not None and self.channel is not None:
            self.unregisterProducer()
        super().finish()
        self.log(self.code)

    def connectionLost(self, reason):
        if self.gate is not None:
            self.gate.release()
        super().connectionLost(reason)
        self.log(CLIENT_CLOSED_REQUEST)

    def log(self, status):
        if self.done or self.began is None or self.is_upgrade:
            return
        self.done = True
        metrics.http_in_flight.dec()
        metrics.http_requests.labels(f"{status // 100}xx").inc()
        if self.server.access_log:
            values = self.requestHeaders.getAllRawHeaders()
            self.server.access_log.write(
                event="http",
                headers={name.decode("latin1").lower(): items[-1].decode("latin1") for name, items in values},
                method=self.method.decode("latin1"),
                path=self.path.decode("latin1"),
                status=status,
                seconds=time.monotonic() - self.began,
                bytes=self.sentLength,
            )


class HTTPFactory(http_protocol.HTTPFactory):
    """Builds our request, and keeps idle connections for longer than the proxy does.

    Twisted's 60 s equals nginx's default, so that a request could meet a connection that was just closed.
    """

    def __init__(self, server):
        super().__init__(server)
        self.timeOut = server.options.http_keepalive

    def buildProtocol(self, addr):
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = WebRequest
        return protocol
