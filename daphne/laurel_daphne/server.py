"""Daphne's server with a drain, flow control and a word for systemd."""

import asyncio
import signal
import sys
import time

import daphne.server  # before anything that imports the reactor
from daphne.access import AccessLogGenerator
from twisted.internet import defer, reactor

from laurel_daphne import capacity, endpoints, handover, logs, metrics
from laurel_daphne.drain import Drain
from laurel_daphne.http import HTTPFactory
from laurel_daphne.logs import AccessLog, logger
from laurel_daphne.notify import Notifier
from laurel_daphne.websocket import WebSocketFactory, WebSocketProtocol

# `Server.run` takes these from its module; there is no other way in.
daphne.server.HTTPFactory = HTTPFactory
daphne.server.WebSocketFactory = WebSocketFactory
daphne.server.serverFromString = endpoints.from_string

QUIET = 1  # seconds a successor says nothing to systemd, which does not know it yet
HANDSHAKES = 1  # seconds for those that our last accepted connections are in
WRITES = ("websocket.send", "http.response.body")


class Server(daphne.server.Server):
    """Takes Daphne's arguments, and `options`: the parsed command line."""

    def __init__(self, *, options, **arguments):
        arguments["endpoints"] = [endpoints.with_backlog(text, options.backlog) for text in arguments["endpoints"]]
        if options.websocket_handshake_timeout is not None:
            arguments["websocket_handshake_timeout"] = options.websocket_handshake_timeout
        super().__init__(**arguments)
        self.options = options
        self.ports = []
        self.drain = self.drain_task = None
        self.leaving = False
        self.opening = set()  # WebSockets that wait for the application to accept them
        self.handover_task = None
        self.notifier = Notifier()
        self.access_log = None
        if options.log_style == "json":
            logs.keep_own_logger(options.verbosity)
            if isinstance(self.action_logger, AccessLogGenerator):
                # Open for as long as the process lives.
                stream = open(options.access_log, "a", 1) if options.access_log not in (None, "-") else sys.stderr  # noqa: SIM115
                self.access_log = AccessLog(stream, options.instance)
                self.action_logger = None
        capacity.watch()

    # Start

    def run(self):
        reactor.callWhenRunning(self.started)
        super().run()

    def listen_success(self, port):
        self.ports.append(port)
        super().listen_success(port)

    def started(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            # Twisted's own handlers stop the reactor; Python's run between bytecodes, so hand over to the loop.
            signal.signal(number, lambda number, frame: reactor.callFromThread(self.on_signal, number))
        self.measure_lag(time.monotonic())
        defer.DeferredList(self.listeners).addCallback(lambda _: self.listening())

    def listening(self):
        # systemd hears our predecessor say that we are the unit's main process, and us from then on.
        pause = QUIET if handover.tell_predecessor() else 0
        reactor.callLater(pause, self.beat)
        reactor.callLater(pause, lambda: self.notifier.send(READY=1, STATUS="Serving"))

    def beat(self):
        """Tells the watchdog that the event loop turns."""
        if self.notifier.beat_seconds:
            self.notifier.send(WATCHDOG=1)
            reactor.callLater(self.notifier.beat_seconds, self.beat)

    def measure_lag(self, due):
        now = time.monotonic()
        metrics.loop_lag_seconds.set(max(0, now - due))
        reactor.callLater(1, self.measure_lag, now + 1)

    # Connections

    def create_application(self, protocol, scope):
        # Daphne's own, but for the queue: its has no bound.
        assert "application_instance" not in self.connections[protocol]
        queue = protocol.receive_queue() if scope["type"] == "websocket" else asyncio.Queue()
        scope.setdefault("asgi", {"version": "3.0"})
        if scope["type"] == "websocket":
            scope.setdefault("extensions", {})["websocket.http.response"] = {}

        async def send(message):
            await self.handle_reply(protocol, message)

        self.connections[protocol]["application_instance"] = asyncio.ensure_future(
            self.application(scope=scope, receive=queue.get, send=send)
        )
        return queue

    async def handle_reply(self, protocol, message):
        if message.get("type") in WRITES and protocol.gate is not None and protocol.gate.shut:
            with metrics.sends_waiting.track_inprogress(), metrics.send_wait_seconds.time():
                await protocol.writable()
        await super().handle_reply(protocol, message)

    def protocol_disconnected(self, protocol):
        if protocol in self.connections:  # not when it was refused and cleaned up before its TCP connection ended
            super().protocol_disconnected(protocol)

    def websockets(self):
        """The WebSockets that are open or being opened."""
        return [p for p in self.connections if isinstance(p, WebSocketProtocol) and not p.is_closed.called]

    def busy(self):
        """How many connections have an application that has not returned, or a socket that is not closed."""
        working = {p for p, details in self.connections.items() if not finished(details.get("application_instance"))}
        return len(working.union(self.websockets()))

    # Stop

    def on_signal(self, number):
        if number == signal.SIGUSR2:
            if not self.leaving and (self.handover_task is None or self.handover_task.done()):
                logger.info("SIGUSR2: starting a successor")
                self.handover_task = asyncio.ensure_future(self.hand_over())
        elif number == signal.SIGUSR1:
            if self.drain_task is None or self.drain_task.done():
                logger.info("SIGUSR1: closing the WebSockets, staying")
                self.drain = Drain(self, self.options, self.notifier)
                self.drain_task = asyncio.ensure_future(self.drain.stay())
            elif not self.leaving:
                # Whoever opened since the first is meant too.
                logger.info("SIGUSR1 again: once more when this drain is over")
                self.drain.again = True
        elif self.leaving:
            logger.info("%s again: hurrying", signal.Signals(number).name)
            self.drain.hurry()
        else:
            logger.info("%s: draining", signal.Signals(number).name)
            self.leave()

    async def hand_over(self):
        """Leaves the sockets and the unit to a successor; stays if it does not come up."""
        try:
            where = self.options.handover_directory, self.options.handover_timeout
            successor = await handover.hand_over(self.endpoints, self.ports, *where)
        except (handover.Refused, OSError) as refusal:
            logger.error("no handover, still serving: %s", refusal)
            self.notifier.send(STATUS=f"Serving. No handover: {refusal}")
            return
        self.notifier.send(MAINPID=successor, STATUS="Serving")
        # From here on the unit is the successor's: a word of ours about stopping would stop it.
        self.notifier.retire()
        # A handshake that we accepted and have not answered would be refused by a drain: it opens first, and is told to come back then.
        for port in self.ports:
            port.stopListening()
        await asyncio.sleep(HANDSHAKES)
        self.leave()

    def leave(self):
        self.leaving = True
        self.notifier.send(STOPPING=1)
        # With socket activation systemd keeps the port: what knocks now waits for our successor.
        stopped = [defer.maybeDeferred(port.stopListening) for port in self.ports]
        if self.drain_task is not None:
            self.drain_task.cancel()
        self.drain = Drain(self, self.options, self.notifier)
        self.drain_task = asyncio.ensure_future(self.drain.leave())
        self.drain_task.add_done_callback(lambda _: defer.DeferredList(stopped).addCallback(lambda _: self.stop()))

    def kill_all_applications(self):
        """Cancels what is left, and waits for it no longer than a client's close would."""
        # Daphne's raises KeyError for a connection without an application.
        tasks = [details.get("application_instance") for details in self.connections.values()]
        left = [task for task in tasks if not finished(task)]
        for task in left:
            task.cancel()
        if left:
            logger.warning("cancelled %d applications", len(left))
            return defer.Deferred.fromFuture(asyncio.ensure_future(asyncio.wait(left, timeout=2)))


def finished(task):
    """Whether an application has returned, or was cleaned up, or never was."""
    return task is None or task.done()
