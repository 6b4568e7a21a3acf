"""Runs one ASGI application over one session with the broker, until a signal ends it."""

import asyncio
import logging
import random
import signal

from laurel_mqtt.connection import Connection
from laurel_mqtt.inbox import Inbox
from laurel_mqtt.watching import Notifier, logger

REPORT_SECONDS = 10  # at most one line in this time about dropped messages


class ApplicationError(RuntimeError):
    """The application ended, or sent what this server does not know."""


class Server:
    """Connects when the application says `mqtt.open`, and again whenever the connection breaks."""

    def __init__(self, application, options):
        self.application, self.options = application, options
        self.notifier = Notifier()

    async def run(self):
        """Return after a stop by signal; raise ApplicationError where the application ended by itself."""
        self.inbox = Inbox(self.options.queue_limit)
        self.wanted, self.stopping = asyncio.Event(), asyncio.Event()
        self.connection, self.connections = None, 0
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        application = loop.create_task(self.application(self.scope(), self.inbox.get, self.send))
        others = [loop.create_task(work) for work in (self.keep_connected(), self.stopping.wait(), self.watch())]
        self.notifier.send(READY=1, STATUS="Waiting for the application to open the session")
        try:
            done, _ = await asyncio.wait([application, *others[:2]], return_when=asyncio.FIRST_COMPLETED)
            if others[0] in done:
                await others[0]
            if application not in done:
                await self.finish(application)
            elif not self.stopping.is_set():
                raise ApplicationError("the application ended by itself") from application.exception()
        finally:
            for task in (application, *others):
                task.cancel()
            if self.connection is not None:
                await self.connection.close()

    def scope(self):
        return {
            "type": "mqtt",
            "asgi": {"version": "3.0", "spec_version": "1.0"},
            "broker": (self.options.host, self.options.port),
            "client_id": self.options.client_id,
            "receive_maximum": self.options.receive_maximum,
        }

    async def finish(self, application):
        """Let the application store and acknowledge what it has taken; the rest stays with the broker."""
        self.notifier.send(STOPPING=1, STATUS="Finishing what the application has taken")
        self.inbox.give_back()
        self.inbox.put({"type": "mqtt.shutdown"})
        await asyncio.wait([application], timeout=self.options.grace)
        if not application.done():
            logger.warning("the application did not end within %g s and is cancelled", self.options.grace)
        elif application.exception():
            logger.error("the application failed while it stopped", exc_info=application.exception())
        else:
            logger.info("stopped")

    # --- the connection

    async def keep_connected(self):
        failures = 0
        while True:
            await self.wanted.wait()
            self.connections += 1
            connection = Connection(self.options, self.connections, self.take)
            try:
                self.connection = connection
                await connection.open()
                failures = 0
                where = f"{self.options.host}:{self.options.port}"
                logger.info("connected to %s as %s", where, self.options.client_id)
                self.notifier.send(STATUS=f"Connected to {where}")
                reason = await connection.closed
                expected = self.stopping.is_set() or not self.wanted.is_set()
                logger.log(logging.INFO if expected else logging.WARNING, "the connection ended: %s", reason)
            except OSError as error:
                reason = str(error) or type(error).__name__
                logger.warning("no connection to %s:%s: %s", self.options.host, self.options.port, reason)
            finally:
                connection.abort("closed")
            self.connection = None
            # Nobody can acknowledge them any more: their acknowledgement belongs to the connection.
            self.inbox.give_back()
            self.inbox.put({"type": "mqtt.disconnect", "connection": connection.number, "reason": reason})
            if self.wanted.is_set():
                failures += 1
                self.notifier.send(STATUS=f"Connecting again: {reason}")
                await asyncio.sleep(self.pause(failures))

    def pause(self, failures):
        """Seconds before the next attempt: they double up to the limit, and half of them is chance."""
        longest = min(self.options.backoff_limit, 0.5 * 2 ** min(failures, 16))
        return longest * random.uniform(0.5, 1)

    def take(self, event):
        if self.stopping.is_set() and event["type"] == "mqtt.message":
            return  # not acknowledged: the broker keeps it for the next process
        self.inbox.put(event)

    # --- what the application says

    async def send(self, event):
        connection = self.connection
        match event["type"]:
            case "mqtt.publish":
                if connection is not None and not connection.closed.done():
                    await connection.publish(event["topic"], event["payload"], qos=event.get("qos", 0), retain=event.get("retain", False))
            case "mqtt.ack":
                # One of an earlier connection means nothing in this one, where ids are given anew.
                if connection is not None and connection.number == event["connection"]:
                    connection.acknowledge(event["mids"])
            case "mqtt.subscribe":
                if connection is not None:
                    connection.subscribe(event["topics"], no_local=event.get("no_local", ()))
            case "mqtt.open":
                self.wanted.set()
            case "mqtt.close":
                self.wanted.clear()
                if connection is not None:
                    await connection.close()
                self.notifier.send(STATUS="Closed by the application")
            case unknown:
                raise ApplicationError(
                    f"{unknown!r} is not known: expected mqtt.open, mqtt.close, mqtt.subscribe, mqtt.publish or mqtt.ack"
                )

    # --- being watched

    async def watch(self):
        """Beat for systemd's watchdog; say how much was dropped."""
        loop = asyncio.get_running_loop()
        reported, report_at = 0, 0
        while True:
            await asyncio.sleep(min(self.notifier.beat_seconds or REPORT_SECONDS, REPORT_SECONDS))
            if self.notifier.beat_seconds:
                self.notifier.send(WATCHDOG=1)
            if self.inbox.dropped > reported and loop.time() >= report_at:
                logger.warning(
                    "%d QoS 0 messages dropped: the application is behind, %d events wait",
                    self.inbox.dropped - reported, len(self.inbox),
                )  # fmt: skip
                reported, report_at = self.inbox.dropped, loop.time() + REPORT_SECONDS
