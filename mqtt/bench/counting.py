"""An ASGI application that takes messages, counts and acknowledges them, and says so on standard output."""

import time

REPORT_EVERY = 1000


async def application(scope, receive, send):
    await send({"type": "mqtt.open"})
    count = 0
    while True:
        event = await receive()
        match event["type"]:
            case "mqtt.connect":
                await send({"type": "mqtt.subscribe", "topics": [("count/#", 1)]})
            case "mqtt.subscribed":
                print("ready", flush=True)
            case "mqtt.message":
                count += 1
                if event["qos"]:
                    await send({"type": "mqtt.ack", "connection": event["connection"], "mids": [event["mid"]]})
                if count % REPORT_EVERY == 0:
                    print(count, time.monotonic(), flush=True)
            case "mqtt.shutdown":
                return
