"""A subscriber over MQTT: live messages from the room's topic, what was missed from the `after` topic (mqtt/README.md)."""

import json
import time
from collections import deque
from collections.abc import Iterator

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5, MQTTv311

from .tally import Tally
from .transports import Ended, Message, Transport, demand

ANSWER_SECONDS = 5  # until a question is asked again
LOOP_SECONDS = 0.5


class Mqtt(Transport):
    """Every second one speaks MQTT 3.1.1, the others MQTT 5. Each connection is a session of its own."""

    client: Client | None = None

    def read(self, tally: Tally) -> Iterator[Message]:
        mqtt, room = self.site.mqtt, self.site.room
        live, reply = f"rooms/{room}/messages", f"replies/{mqtt['user']}/{self.site.room}-{self.site.number}"
        self.came: deque = deque()
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{room}-{self.site.number}",
            protocol=MQTTv311 if self.site.number % 2 else MQTTv5,
        )
        self.client.username_pw_set(mqtt["user"], mqtt["password"])
        self.client.tls_set_context(self.tls)
        self.client.on_connect = self._connected(live, reply)
        self.client.on_subscribe = lambda *_: self.came.append(("subscribed", None))
        self.client.on_message = lambda _, __, message: self.came.append((message.topic, message))
        self.client.connect(mqtt["host"], mqtt["port"], keepalive=30)
        asked = None  # when `after` was asked, while an answer is awaited
        newest_live = 0
        while True:
            if (failed := self.client.loop(LOOP_SECONDS)) != 0:
                raise OSError(f"MQTT: {failed!r}")
            if asked is not None and time.monotonic() - asked > ANSWER_SECONDS:
                asked = self._ask(room, reply, tally)
            while self.came:
                topic, message = self.came.popleft()
                if topic == "refused":
                    raise Ended(4001, message)
                if topic == "subscribed":
                    asked = self._ask(room, reply, tally)
                    continue
                frame = json.loads(message.payload)
                if topic == live:
                    # What is said live has to come in order and once. The broker keeps the newest for who comes.
                    if frame["id"] <= newest_live and not message.retain:
                        yield frame["id"], frame["text"]  # the tally says what it is: a duplicate, or out of order
                    elif frame["id"] == tally.last + 1:
                        yield frame["id"], frame["text"]
                    elif frame["id"] > tally.last and asked is None:
                        asked = self._ask(room, reply, tally)
                    newest_live = max(newest_live, frame["id"])
                elif frame["type"] == "message":
                    if frame["id"] > tally.last:  # else it came live meanwhile
                        yield frame["id"], frame["text"]
                elif frame["type"] == "subscribed":
                    demand(frame["recovered"], tally)
                elif frame["type"] == "end":
                    asked = self._ask(room, reply, tally) if tally.last < max(frame["newest"], newest_live) else None
                else:
                    raise Ended(4000, f"the answer {frame}")

    def _connected(self, live: str, reply: str):
        def connected(client, _, __, reason, ___):
            if reason.is_failure:
                self.came.append(("refused", str(reason)))
            else:
                client.subscribe([(live, 1), (reply, 1)])

        return connected

    def _ask(self, room: str, reply: str, tally: Tally) -> float:
        question = json.dumps({"after": tally.last, "reply": reply})
        self.client.publish(f"rooms/{room}/after/{self.site.mqtt['user']}", question, qos=1)
        return time.monotonic()

    def close(self) -> None:
        if self.client is not None:
            self.client.disconnect()
            self.client.loop(0)
            self.client = None
