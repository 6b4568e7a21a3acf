"""Says that the database does not answer, instead of failing with a traceback.

503 also tells a proxy that this host cannot serve: it asks another one.
"""

import logging

from asgiref.sync import iscoroutinefunction
from django.db import InterfaceError, OperationalError
from django.http import HttpResponse, JsonResponse
from django.utils.decorators import sync_and_async_middleware

logger = logging.getLogger(__name__)
RETRY_SECONDS = 3
DETAIL = "The database does not answer. Try again in a moment."


@sync_and_async_middleware
def unavailable_middleware(get_response):
    """Answer 503 with Retry-After, as JSON unless a page was asked for. Nothing was stored: a transaction is whole."""
    if iscoroutinefunction(get_response):

        async def middleware(request):
            return await get_response(request)

    else:

        def middleware(request):
            return get_response(request)

    middleware.process_exception = process_exception
    return middleware


def process_exception(request, exception):
    if not isinstance(exception, (OperationalError, InterfaceError)):
        return None
    logger.error("Request not answered: the database does not answer: %s", exception)
    headers = {"Retry-After": str(RETRY_SECONDS), "Cache-Control": "no-store"}
    if "text/html" in request.headers.get("Accept", ""):
        return HttpResponse(f"{DETAIL}\n", content_type="text/plain; charset=utf-8", status=503, headers=headers)
    return JsonResponse({"error": "unavailable", "detail": DETAIL}, status=503, headers=headers)


class SocketUnavailable:
    """Answers a handshake in the same way; without it the client would be told 500, and no other host be asked."""

    def __init__(self, inner):
        self.inner = inner

    async def __call__(self, scope, receive, send):
        answered = False

        async def note(message):
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self.inner(scope, receive, note)
        except (OperationalError, InterfaceError) as error:
            if answered or "websocket.http.response" not in scope.get("extensions", {}):
                raise
            logger.error("WebSocket refused: the database does not answer: %s", error)
            headers = [(b"retry-after", str(RETRY_SECONDS).encode())]
            await send({"type": "websocket.http.response.start", "status": 503, "headers": headers})
            await send({"type": "websocket.http.response.body", "body": b""})
