"""An event loop's worth of an MQTT broker, and a life of the MQTT server that has the application in it."""

import asyncio
import json
from collections import defaultdict
from itertools import count

from project.asgi import application

from .conftest import PATIENCE

AFTER, REPLIES = "rooms/garden/after/ada", "replies/ada"


class Broker:
    """What a session sees of a broker. It outlives the consumers that connect to it, as a broker does."""

    def __init__(self):
        self.retained, self.mids, self.connections = {}, count(1), count(1)
        self.published = defaultdict(asyncio.Queue)
        self.acknowledged, self.live = asyncio.Queue(), 0

    def server(self):
        return Server(self)


class Server:
    """One life of the MQTT server, with the application in it."""

    def __init__(self, broker):
        self.broker, self.events = broker, asyncio.Queue()
        self.connected, self.closed = asyncio.Event(), asyncio.Event()

    async def __aenter__(self):
        scope = {"type": "mqtt", "client_id": "laurel", "receive_maximum": 100}
        self.task = asyncio.create_task(application(scope, self.events.get, self.send))
        return self

    async def __aexit__(self, *error):
        if not self.task.done():
            await self.stop()

    async def stop(self):
        self.events.put_nowait({"type": "mqtt.shutdown"})
        await asyncio.wait_for(self.task, PATIENCE)

    async def kill(self):
        self.task.cancel()
        await asyncio.wait([self.task])

    async def send(self, event):
        match event["type"]:
            case "mqtt.open":
                self.connect()
            case "mqtt.close":
                self.closed.set()
            case "mqtt.subscribe":
                for topic, payload in self.broker.retained.items():
                    self.deliver(topic, payload, retain=True)
                self.events.put_nowait({"type": "mqtt.subscribed", "connection": self.connection, "refused": []})
            case "mqtt.publish":
                if event["topic"] == "bridge/sync":
                    self.deliver(event["topic"], event["payload"])
                    self.connected.set()
                    return
                if event["retain"]:
                    self.broker.retained[event["topic"]] = event["payload"]
                self.broker.published[event["topic"]].put_nowait(json.loads(event["payload"]))
            case "mqtt.ack":
                for mid in event["mids"]:
                    self.broker.acknowledged.put_nowait((event["connection"], mid))

    def connect(self):
        self.connection = next(self.broker.connections)
        self.events.put_nowait({"type": "mqtt.connect", "connection": self.connection, "session_present": False})

    def disconnect(self):
        self.events.put_nowait({"type": "mqtt.disconnect", "connection": self.connection, "reason": "test"})

    def deliver(self, topic, body, *, qos=1, dup=False, retain=False, mid=None):
        mid = mid or next(self.broker.mids)
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        message = {"topic": topic, "payload": payload, "qos": qos, "retain": retain, "dup": dup, "mid": mid}
        self.events.put_nowait({"type": "mqtt.message", "connection": self.connection, **message})
        return mid

    async def acknowledged(self, mid):
        while (await asyncio.wait_for(self.broker.acknowledged.get(), PATIENCE)) != (self.connection, mid):
            pass

    async def reply(self, topic=REPLIES):
        return await asyncio.wait_for(self.broker.published[topic].get(), PATIENCE)

    async def replies(self, number, topic=REPLIES):
        return [await self.reply(topic) for _ in range(number)]

    async def after(self, after, **body):
        """Ask for what came after an id; return the answer: `subscribed`, messages, `end`."""
        self.deliver(AFTER, {"after": after, **body})
        frames = [await self.reply(body.get("reply", REPLIES))]
        while frames[-1]["type"] not in ("end", "error"):
            frames.append(await self.reply(body.get("reply", REPLIES)))
        return frames
