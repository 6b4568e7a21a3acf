"""A reader over MQTT: paho on gevent's sockets, QoS 1. What the protocol asks of a reader stands in mqtt/README.md."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent.event import Event as Flag
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from .problems import NotReady
from .recorder import RECORDER
from .tls import unverified

PLAIN_PORT = 1883
OPEN_TIMEOUT_SECONDS = 20.0
PACKET_HEAD_BYTES = 6  # type, length of two bytes, topic's length, packet id: what a PUBLISH has beside topic and payload


class MqttLine:
    """Subscribes to the room's topic, asks for what it missed, and takes each message once."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader
        self.user = reader.user
        options = self.user.options
        self.name = f"load-{options.load_run}-{self.user.number}-{reader.place}"
        self.topic = f"rooms/{reader.room}/messages"
        self.reply = f"replies/{options.mqtt_user}/{self.name}"
        self.opened = Flag()
        self.closing = False
        self.connected = False
        self.asking = False
        self.early: dict[int, dict[str, Any]] = {}  # came by the topic while what is missing is on its way
        self.trouble = "no answer"

    def open(self) -> None:
        """Raises NotReady."""
        options = self.user.options
        host = options.mqtt_host or urlsplit(self.user.host).hostname
        self.client = Client(CallbackAPIVersion.VERSION2, client_id=self.name, clean_session=True)
        self.client.on_connect, self.client.on_disconnect = self._on_connect, self._on_disconnect
        self.client.on_subscribe, self.client.on_message = self._on_subscribe, self._on_message
        self.client.max_inflight_messages_set(100)
        self.client.reconnect_delay_set(1, 10)
        try:
            if options.mqtt_password_file:
                self.client.username_pw_set(options.mqtt_user, Path(options.mqtt_password_file).read_text(encoding="utf-8").strip())
            if options.mqtt_port != PLAIN_PORT:
                self.client.tls_set_context(unverified())
            self.client.connect(host, options.mqtt_port, keepalive=30)
        except OSError as error:
            raise NotReady(f"MQTT at {host}:{options.mqtt_port}: {error}; give --mqtt-host and --mqtt-password-file") from error
        self.client.loop_start()
        if not self.opened.wait(OPEN_TIMEOUT_SECONDS):
            self.close_client()
            raise NotReady(f"MQTT at {host}:{options.mqtt_port}: {self.trouble} within {OPEN_TIMEOUT_SECONDS:.0f} s")
        RECORDER.sockets_expected += 1

    def close(self) -> None:
        RECORDER.sockets_expected -= 1
        RECORDER.sockets_open -= self.connected
        self.close_client()

    def close_client(self) -> None:
        self.closing = True
        self.client.disconnect()
        gevent.spawn(self.client.loop_stop)  # joins its loop, which takes until that wakes

    def _on_connect(self, client: Client, _: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self.trouble = f"the broker answers {reason}"
            return
        self.connected = True
        RECORDER.sockets_open += 1
        RECORDER.sockets_opened += 1
        client.subscribe([(self.topic, 1), (self.reply, 1)])

    def _on_disconnect(self, client: Client, _: Any, flags: Any, reason: Any, properties: Any) -> None:
        if self.connected and not self.closing:
            RECORDER.sockets_open -= 1
            now = time.monotonic()
            self.user.report("MQTT", "connection", now, now, error=f"disconnected: {reason}")
        self.connected = False

    def _on_subscribe(self, client: Client, _: Any, mid: int, reasons: list[Any], properties: Any) -> None:
        if refused := [str(reason) for reason in reasons if reason.is_failure]:
            self.trouble = f"the broker refuses a subscription: {refused[0]}"
            return
        self._ask()

    def _ask(self) -> None:
        self.asking = True
        wanted = {"after": self.reader.sequence.last, "reply": self.reply}
        self.client.publish(f"rooms/{self.reader.room}/after/{self.user.options.mqtt_user}", json.dumps(wanted), qos=1)

    def _on_message(self, client: Client, _: Any, message: MQTTMessage) -> None:
        at = time.monotonic()
        RECORDER.count("received_bytes", at, len(message.payload) + len(message.topic) + PACKET_HEAD_BYTES)
        try:
            frame = json.loads(message.payload)
            if message.topic == self.topic:
                self._live(frame, at, repeated=message.retain or message.dup)
            else:
                self._answer(frame, at)
        except (ValueError, KeyError, TypeError) as error:
            self.user.report("MQTT", "frame", at, at, error=f"not a frame of the protocol: {error}")

    def _live(self, frame: dict[str, Any], at: float, *, repeated: bool) -> None:
        number, last = frame["id"], self.reader.sequence.last
        if number <= last and repeated:
            return  # MQTT may say it again, and says so
        if self.asking:
            self.early[number] = frame
        elif number > last + 1:
            self.early[number] = frame
            self._ask()
        else:
            self.reader.received(frame, at)

    def _answer(self, frame: dict[str, Any], at: float) -> None:
        kind = frame.get("type")
        if kind == "message" and frame["id"] > self.reader.sequence.last:
            self.early.pop(frame["id"], None)
            self.reader.received(frame, at)
        elif kind == "subscribed" and not frame["recovered"]:
            self.user.report("MQTT", "recovery", at, at, error="the history does not reach back")
        elif kind == "end" and frame["newest"] > frame["after"] and self.reader.sequence.last < frame["newest"]:
            self._ask()
        elif kind == "end":
            self.asking = False
            for number in sorted(self.early):
                if number > self.reader.sequence.last:
                    self.reader.received(self.early[number], at)
            self.early.clear()
            self.opened.set()
