"""Takes the request id that nginx passes, or makes one, and gives it to the logs and the answer."""

import re
import uuid

from asgiref.sync import iscoroutinefunction
from django.utils.decorators import sync_and_async_middleware

from .log import request_id

# A client may reach us past nginx: what it names goes into logs, so it is kept short and plain.
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}")


def read_or_make(value):
    return value if value and _PLAIN.fullmatch(value) else uuid.uuid4().hex


@sync_and_async_middleware
def request_id_middleware(get_response):
    """Set the request id for the logs and the X-Request-ID of the answer, under WSGI and ASGI."""

    def begin(request):
        request.id = read_or_make(request.META.get("HTTP_X_REQUEST_ID"))
        return request_id.set(request.id)

    def finish(response, request):
        response.headers["X-Request-ID"] = request.id
        return response

    if iscoroutinefunction(get_response):

        async def middleware(request):
            token = begin(request)
            try:
                return finish(await get_response(request), request)
            finally:
                request_id.reset(token)

    else:

        def middleware(request):
            token = begin(request)
            try:
                return finish(get_response(request), request)
            finally:
                request_id.reset(token)

    return middleware


class SocketRequestId:
    """Sets the request id of a WebSocket for as long as it is open."""

    def __init__(self, inner):
        self.inner = inner

    async def __call__(self, scope, receive, send):
        # Each socket is a task with a context of its own: there is nothing to set back.
        request_id.set(read_or_make(dict(scope["headers"]).get(b"x-request-id", b"").decode("latin1")))
        return await self.inner(scope, receive, send)
