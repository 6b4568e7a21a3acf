"""An ASGI application whose behaviour the path chooses. It says on standard output what it saw."""

import asyncio
import sys
import time


def say(*words):
    print(*words, flush=True)


async def application(scope, receive, send):
    await (http if scope["type"] == "http" else websocket)(scope["path"], receive, send)


async def http(path, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if path.startswith("/stream/"):
        for _ in range(int(path.rpartition("/")[2]) * 5):
            await send({"type": "http.response.body", "body": b".", "more_body": True})
            await asyncio.sleep(0.2)
    if path == "/flood":
        for _ in range(4800):
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
        say("flooded")
    if path.startswith("/wait/"):
        await asyncio.sleep(float(path.rpartition("/")[2]))
    if path.startswith("/block/"):
        time.sleep(float(path.rpartition("/")[2]))
    await send({"type": "http.response.body", "body": b"done"})


async def websocket(path, receive, send):
    await receive()
    if path == "/never":
        return await asyncio.sleep(60)
    if path == "/unavailable":
        await send({"type": "websocket.http.response.start", "status": 503, "headers": [(b"retry-after", b"3"), (b"content-length", b"4")]})
        return await send({"type": "websocket.http.response.body", "body": b"away"})
    if path == "/refuse":
        return await send({"type": "websocket.close"})
    await send({"type": "websocket.accept"})
    if path == "/deaf":
        return await asyncio.sleep(60)
    if path == "/big":
        await send({"type": "websocket.send", "text": "x" * 5000})
    if path == "/late":
        await send({"type": "websocket.close", "code": 4000})
        await send({"type": "websocket.send", "text": "too late"})
    if path == "/flood":
        flooding = asyncio.ensure_future(flood(send))  # noqa: F841, RUF006  # ends with the server
    if path.startswith("/close/"):
        await send({"type": "websocket.close", "code": int(path.rpartition("/")[2]), "reason": "because"})
    while (message := await receive())["type"] != "websocket.disconnect":
        if path == "/crash":
            raise RuntimeError("as the test asked")
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
    if path == "/tidy-slowly":
        await asyncio.sleep(0.5)
    if path == "/tidy-never":
        await asyncio.sleep(60)
    say("disconnected", message["code"])


async def flood(send):
    """300 MB in messages that carry their number."""
    for number in range(4800):
        await send({"type": "websocket.send", "bytes": number.to_bytes(4, "big") + bytes(65532)})
    say("flooded")


sys.stdout.reconfigure(line_buffering=True)
