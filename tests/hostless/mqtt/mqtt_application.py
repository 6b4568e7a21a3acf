"""An ASGI application for the tests: prints its events, and does what lines of JSON on standard input say.

{"hold": true} leaves messages unacknowledged, {"send": {...}} sends an event, {"read": false} takes no events.
"""

import asyncio
import json
import os
import sys


async def orders(send, state):
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        order = json.loads(line)
        if "send" in order:
            event = order["send"]
            await send({**event, "payload": event["payload"].encode()} if "payload" in event else event)
        state.update(order)


async def application(scope, receive, send):
    if os.environ.get("FAIL"):
        raise RuntimeError("this application fails")
    state = {"hold": bool(os.environ.get("HOLD")), "read": True}
    task = asyncio.create_task(orders(send, state))
    await send({"type": "mqtt.open"})
    while True:
        while not state["read"]:
            await asyncio.sleep(0.02)
        event = await receive()
        text = {**event, "payload": event["payload"].decode()} if "payload" in event else event
        print(json.dumps(text), flush=True)
        match event["type"]:
            case "mqtt.connect":
                await send({"type": "mqtt.subscribe", "topics": [("t/#", 1)]})
            case "mqtt.message" if event["qos"] and not state["hold"]:
                await send({"type": "mqtt.ack", "connection": event["connection"], "mids": [event["mid"]]})
            case "mqtt.shutdown":
                task.cancel()
                return
