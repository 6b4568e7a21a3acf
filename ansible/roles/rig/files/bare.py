"""The least that a server can be asked to run: a fixed body, to WSGI and to ASGI. The body is BARE_BODY's."""

import os

BODY = os.environ["BARE_BODY"].encode()
TYPE, LENGTH = "application/json", str(len(BODY))
WSGI_HEADERS = [("Content-Type", TYPE), ("Content-Length", LENGTH)]
ASGI_HEADERS = [(b"content-type", TYPE.encode()), (b"content-length", LENGTH.encode())]


def wsgi(environ, start_response):
    start_response("200 OK", WSGI_HEADERS)
    return [BODY]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError(f"the bare application answers http, not {scope['type']!r}")
    await send({"type": "http.response.start", "status": 200, "headers": ASGI_HEADERS})
    await send({"type": "http.response.body", "body": BODY})
