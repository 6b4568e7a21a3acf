"""One connection to the broker: paho-mqtt speaks MQTT 5, the event loop says when its socket is ready."""

import asyncio
import ssl
from contextlib import suppress

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

MISC_SECONDS = 1  # how often paho looks whether it must send a ping, or has waited too long for the answer


class BrokerRefused(ConnectionError):
    """The broker answered, and said no."""


class Connection:
    """Opens, reads and writes; tells `on_event` what came. Used once: a new connection is a new object.

    So nothing that was on its way when a connection broke is sent again behind the application's back; the broker
    keeps its half of the session, which is the one that matters for what we receive.
    """

    def __init__(self, options, number, on_event):
        self.options, self.number, self.on_event = options, number, on_event
        self.loop = asyncio.get_running_loop()
        self.closed = self.loop.create_future()  # the reason, when it is over
        self._accepted = self.loop.create_future()
        self._socket = None
        self._filters = {}  # id of a subscribe packet -> its filters
        self._window = options.publish_window
        self._unanswered = set()  # ids of what we published at QoS 1
        self._movable = asyncio.Event()  # set when an answer came or the socket took what was waiting
        self._client = self._make_client()

    def _make_client(self):
        client = Client(
            CallbackAPIVersion.VERSION2, client_id=self.options.client_id, protocol=MQTTv5, manual_ack=True,
            reconnect_on_failure=False,
        )  # fmt: skip
        if self.options.username:
            client.username_pw_set(self.options.username, self.options.password)
        if self.options.tls:
            context = ssl.create_default_context(cafile=self.options.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            client.tls_set_context(context)
        client.connect_timeout = self.options.connect_timeout
        client.max_inflight_messages_set(self._window)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message, client.on_publish, client.on_subscribe = self._on_message, self._on_publish, self._on_subscribe
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write
        return client

    async def open(self):
        """Return when the broker has accepted us; raise OSError (ConnectionError, TimeoutError) otherwise."""
        wanted = Properties(PacketTypes.CONNECT)
        wanted.SessionExpiryInterval = self.options.session_expiry
        wanted.ReceiveMaximum = self.options.receive_maximum
        client, options = self._client, self.options
        client.connect_async(options.host, options.port, options.keepalive, clean_start=False, properties=wanted)
        # The name look-up, the TCP and the TLS handshake block.
        await asyncio.to_thread(client.reconnect)
        self._socket = client.socket()
        if self._socket is None:
            raise ConnectionError("closed by the broker at once")
        self.loop.add_reader(self._socket, self._readable)
        if client.want_write():
            self.loop.add_writer(self._socket, client.loop_write)
        self._misc = self.loop.create_task(self._keep_alive())
        async with asyncio.timeout(options.connect_timeout):
            await asyncio.wait([self._accepted, self.closed], return_when=asyncio.FIRST_COMPLETED)
        if not self._accepted.done():
            raise BrokerRefused(self.closed.result())

    async def close(self):
        """Say goodbye; what is not sent within the moment that takes is not sent."""
        self._client.disconnect()
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.wait([self.closed])
        self.abort("closed")

    def abort(self, reason):
        self._finish(reason)
        self._forget_socket()
        self._client._sock_close()  # paho has no public way to drop a connection without a word

    def subscribe(self, topics, *, no_local=()):
        wanted = [(name, SubscribeOptions(qos=qos, noLocal=name in no_local, retainAsPublished=True)) for name, qos in topics]
        _, mid = self._client.subscribe(wanted)
        if mid is not None:
            self._filters[mid] = [name for name, _ in topics]

    async def publish(self, topic, payload, *, qos, retain):
        """Wait for a place in the window, then send. Does nothing once the connection is over."""
        while not self.closed.done() and (len(self._unanswered) >= self._window or self._client.want_write()):
            self._movable.clear()
            await self._movable.wait()
        if not self.closed.done():
            mid = self._client.publish(topic, payload, qos=qos, retain=retain).mid
            if qos:
                self._unanswered.add(mid)

    def acknowledge(self, mids):
        for mid in mids:
            self._client.ack(mid, 1)

    # --- the socket

    def _readable(self):
        self._client.loop_read()
        # What TLS has decrypted already makes no socket readable.
        while self._client.socket() is not None and self.options.tls and self._client.socket().pending():
            self._client.loop_read()

    def _on_register_write(self, client, userdata, sock):
        if self._socket is not None:
            self.loop.add_writer(sock, client.loop_write)

    def _on_unregister_write(self, client, userdata, sock):
        if self._socket is not None:
            self.loop.remove_writer(sock)
            self._movable.set()

    def _on_socket_close(self, client, userdata, sock):
        self._forget_socket()

    def _forget_socket(self):
        if self._socket is not None:
            self.loop.remove_reader(self._socket)
            self.loop.remove_writer(self._socket)
            self._socket = None
            self._misc.cancel()

    async def _keep_alive(self):
        while True:
            await asyncio.sleep(MISC_SECONDS)
            self._client.loop_misc()

    # --- what paho says

    def _on_connect(self, client, userdata, flags, reason, properties):
        if reason.is_failure:
            self._finish(str(reason))
            return
        self._window = min(self._window, getattr(properties, "ReceiveMaximum", self._window))
        self._accepted.set_result(None)
        self.on_event({"type": "mqtt.connect", "connection": self.number, "session_present": flags.session_present})

    def _on_disconnect(self, client, userdata, flags, reason, properties):
        self._finish(str(reason))

    def _finish(self, reason):
        if not self.closed.done():
            self.closed.set_result(reason)
        self._movable.set()

    def _on_message(self, client, userdata, message):
        self.on_event(
            {
                "type": "mqtt.message", "connection": self.number, "mid": message.mid, "topic": message.topic,
                "payload": message.payload, "qos": message.qos, "retain": message.retain, "dup": message.dup,
            }
        )  # fmt: skip

    def _on_publish(self, client, userdata, mid, reason, properties):
        self._unanswered.discard(mid)
        self._movable.set()

    def _on_subscribe(self, client, userdata, mid, reasons, properties):
        refused = [name for name, code in zip(self._filters.pop(mid, ()), reasons, strict=False) if code.is_failure]
        self.on_event({"type": "mqtt.subscribed", "connection": self.number, "refused": refused})
