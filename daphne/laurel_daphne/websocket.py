"""WebSockets that can be closed with a reason, that wait for their reader, and that deliver empty messages."""

import time
from http import HTTPStatus

from autobahn.util import encode_truncate
from autobahn.websocket.types import ConnectionDeny

from daphne import ws_protocol
from laurel_daphne import metrics
from laurel_daphne.flow import ReceiveQueue, SendGate
from laurel_daphne.logs import logger

TEXT, BINARY = 1, 2
SERVICE_RESTART, TRY_AGAIN_LATER, NO_CODE = 1012, 1013, 1005
CODES = {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}


class WebSocketProtocol(ws_protocol.WebSocketProtocol):
    """One WebSocket, from the upgrade request to the end of its TCP connection."""

    gate = None  # shut while the client does not read
    unanswered = None  # the newest ping that came meanwhile
    opened = None  # monotonic time of the accept
    reason = None  # why we closed it
    denial_headers = ()
    connect_logged = False

    # Handshake

    def onConnect(self, request):
        self.began = time.monotonic()
        self.factory.server_class.opening.add(self)
        self.counts = {"messages_in": 0, "messages_out": 0, "bytes_in": 0, "bytes_out": 0}
        self.gate = SendGate(self.answer_newest_ping)
        # The HTTP channel stays the transport's producer after the upgrade and stops *reading* when the
        # buffer is full: https://github.com/django/daphne/issues/170. Ours stops the sender.
        self.transport.unregisterProducer()
        self.transport.registerProducer(self.gate, True)
        return super().onConnect(request)

    def receive_queue(self):
        return ReceiveQueue(self.server.options.websocket_receive_buffer, self.pause_reading, self.resume_reading)

    def onOpen(self):
        self.opened = time.monotonic()
        self.factory.server_class.opening.discard(self)
        metrics.websockets_open.inc()
        metrics.websockets_opened.inc()
        self.log_connect(101)
        super().onOpen()
        if self.server.leaving:
            self.close_for_restart()

    def refuse(self, code, reason, label):
        """Answers the upgrade request with an HTTP error."""
        deferred = self.__dict__.pop("handshake_deferred", None)
        if deferred is not None:
            self.refused_because = label
            self.server.protocol_disconnected(self)
            deferred.errback(ConnectionDeny(code=code, reason=reason))

    def failHandshake(self, reason, code=400, responseHeaders=None):
        if "Sec-WebSocket-Version" in dict(responseHeaders or ()):
            # autobahn answers 400 to a version it does not speak; RFC 6455, 4.2.2 asks for 426.
            code, responseHeaders = 426, [*responseHeaders, ("Upgrade", "websocket")]
        default = {403: "application", 500: "error"}.get(code, "request")
        responseHeaders = [*(responseHeaders or ()), *self.denial_headers]
        self.factory.server_class.opening.discard(self)
        metrics.handshakes_refused.labels(getattr(self, "refused_because", default)).inc()
        self.log_connect(code, reason=reason)
        super().failHandshake(reason, code, responseHeaders)

    def onOpenHandshakeTimeout(self):
        # Autobahn would drop the connection, and the proxy would answer 502 without a reason:
        # https://github.com/django/daphne/issues/119.
        self.openHandshakeTimeoutCall = None
        if self.state == self.STATE_CONNECTING and "handshake_deferred" in self.__dict__:
            # Not 503, for which the proxy leaves this host out and asks another: where all are slow, that makes them slower.
            self.refuse(504, "The application did not accept in time", "timeout")
        else:
            super().onOpenHandshakeTimeout()

    # From the client

    def onMessage(self, payload, isBinary):
        self.counts["messages_in"] += 1
        self.counts["bytes_in"] += len(payload)
        metrics.messages_in.inc()
        metrics.bytes_in.inc(len(payload))
        super().onMessage(payload, isBinary)

    def onMessageFrame(self, payload):
        # Autobahn keeps each piece as an object of its own: a message in tiny ones takes many times its size.
        if not self.failedByMe:
            if not self.message_data:
                self.message_data.append(bytearray())
            for piece in payload:
                self.message_data[0] += piece

    def onPing(self, payload):
        # Autobahn answers each at once, into a buffer that grows while the client does not read. RFC 6455, 5.5.3 lets us answer the
        # newest of several alone.
        if self.gate.shut:
            self.unanswered = payload
        else:
            super().onPing(payload)

    def answer_newest_ping(self):
        payload, self.unanswered = self.unanswered, None
        if payload is not None and self.state == self.STATE_OPEN:
            super().onPing(payload)

    def pause_reading(self):
        metrics.reads_paused.inc()
        self.transport.pauseProducing()
        if self.autoPingTimeoutCall is not None:  # its pong would wait behind what we do not read
            self.autoPingTimeoutCall.cancel()
            self.autoPingTimeoutCall = None

    def resume_reading(self):
        if self.state != self.STATE_CLOSED:
            self.last_ping = time.time()
            self.transport.resumeProducing()

    def onClose(self, wasClean, code, reason):
        self.factory.server_class.opening.discard(self)
        if self.gate is None:
            return  # refused before it was a WebSocket; Daphne would raise AttributeError here
        self.gate.release()
        if self.closedByMe and self.localCloseCode is not None:
            code = self.localCloseCode
        code = code or NO_CODE
        if self.opened is not None:
            metrics.websockets_open.dec()
            metrics.websockets_closed.labels(metrics.code_family(code)).inc()
            self.log_line(
                "websocket.close",
                101,
                time.monotonic() - self.opened,
                close_code=code,
                reason=self.reason or (self.remoteCloseReason if wasClean else reason),
                **self.counts,
            )
        elif not self.connect_logged:
            self.log_connect(499, reason="the client left before the application answered")
        super().onClose(wasClean, code, reason)

    # From the application

    async def writable(self):
        """Waits while the client does not read; closes it when that takes too long."""
        limit = self.server.options.send_timeout
        if await self.gate.wait(limit) or self.state != self.STATE_OPEN:
            return
        metrics.slow_readers_closed.inc()
        self.serverClose(TRY_AGAIN_LATER, f"slow reader: nothing was read for {limit:g} s")
        logger.warning("closed a slow reader of %s after %g s", self.request.path, limit)
        self.gate.release()

    def handle_reply(self, message):
        kind = message.get("type")
        if kind == "websocket.send":
            self.send_message(message.get("text"), message.get("bytes"))
        elif kind == "websocket.http.response.start" and self.state == self.STATE_CONNECTING:
            self.deny(message["status"], message.get("headers", ()))
        elif kind == "websocket.close" and self.state != self.STATE_CONNECTING:
            self.serverClose(message.get("code"), message.get("reason"))
        else:
            super().handle_reply(message)

    def deny(self, status, headers):
        """Answers the upgrade request as the application says, without the body: a browser shows none of it to its page."""
        # https://asgi.readthedocs.io/en/latest/extensions.html#websocket-denial-response
        left_out = {"content-length", "content-type", "transfer-encoding", "connection"}
        named = [(name.decode("latin1"), value.decode("latin1")) for name, value in headers]
        self.denial_headers = [(name, value) for name, value in named if name.lower() not in left_out]
        known = status in list(HTTPStatus)
        self.refuse(status, HTTPStatus(status).phrase if known else "Refused", "application")

    def send_message(self, text, data):
        # Daphne asks "is it true?" where ASGI says "is it not None?", and so loses empty messages:
        # https://asgi.readthedocs.io/en/latest/specs/www.html#send-send-event.
        if self.state == self.STATE_CONNECTING:
            raise ValueError("websocket.send before websocket.accept")
        if (text is None) == (data is None):
            raise ValueError("websocket.send: exactly one of `text` and `bytes` must be given")
        if self.state != self.STATE_OPEN:
            return  # closing; Autobahn would raise, and the consumer would die before its disconnect()
        payload = text.encode() if data is None else data
        self.counts["messages_out"] += 1
        self.counts["bytes_out"] += len(payload)
        metrics.messages_out.inc()
        metrics.bytes_out.inc(len(payload))
        # Not `sendMessage`: it holds what we send to the limit for what we receive, and raises. Since 4.2.2 that is
        # 1 MiB unless a flag says otherwise: https://github.com/django/daphne/issues/582.
        self.sendFrame(opcode=TEXT if data is None else BINARY, payload=payload)

    def serverClose(self, code=None, reason=None):
        # Autobahn lets applications use 1000 and 3000 to 4999 only, and Daphne passes no reason:
        # https://github.com/django/daphne/issues/374, https://github.com/crossbario/autobahn-python/issues/1642.
        code = 1000 if code is None else code
        if code not in CODES:
            raise ValueError(f"close code {code!r}: expected 1000-1003, 1007-1014 or 3000-4999")
        self.reason = self.reason or reason
        self.sendCloseFrame(code=code, reasonUtf8=encode_truncate(reason, 123) if reason else None)

    def close_for_restart(self):
        """Tells the client to come back: 1012, or 503 while it is still knocking."""
        if self.state == self.STATE_CONNECTING:
            self.refuse(503, "Restarting", "draining")
        elif self.state == self.STATE_OPEN:
            self.serverClose(SERVICE_RESTART, "restart")

    # Clock and log

    def check_timeouts(self):
        # Daphne raises here for a refused handshake whose TCP connection lingers, which ends its timer for all.
        if self.state == self.STATE_OPEN and not self.application_queue.paused:
            super().check_timeouts()

    def log_connect(self, status, **fields):
        self.connect_logged = True
        now = time.monotonic()
        self.log_line("websocket.connect", status, now - getattr(self, "began", now), **fields)

    def log_line(self, event, status, seconds, **fields):
        if self.factory.server_class.access_log:
            headers = dict(self.http_headers)
            self.factory.server_class.access_log.write(
                event=event,
                headers=headers,
                method="GET",
                path=getattr(self, "http_request_path", ""),
                status=status,
                seconds=seconds,
                **fields,
            )


class WebSocketFactory(ws_protocol.WebSocketFactory):
    """Builds our protocol; a client that breaks a rule gets a close frame with the code, not a lost connection."""

    protocol = WebSocketProtocol

    def __init__(self, server_class, *args, **kwargs):  # Daphne's name for the server
        super().__init__(server_class, *args, **kwargs)
        timeout = server_class.options.websocket_close_timeout
        self.setProtocolOptions(failByDrop=False, closeHandshakeTimeout=timeout)
