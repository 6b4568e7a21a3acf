"""Says that the database does not answer, instead of failing with a traceback.

503 also tells a proxy that this host cannot serve: it asks another one. Who has too much to do says 429, else a proxy would leave out
one host after the other for being busy.
"""

import logging

from asgiref.sync import iscoroutinefunction
from django.db import InterfaceError, OperationalError
from django.http import HttpResponse, JsonResponse
from django.utils.decorators import sync_and_async_middleware

from .postgresql.base import AllInUse

logger = logging.getLogger(__name__)
RETRY_SECONDS = 3
AWAY = 503, "unavailable", "The database does not answer. Try again in a moment."
BUSY = 429, "busy", "Every connection to the database is in use. Try again in a moment."


def answer_to(exception):
    """Return (status, code, detail) for a database error."""
    return BUSY if isinstance(exception.__cause__, AllInUse) else AWAY


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
    status, code, detail = answer_to(exception)
    logger.error("Request not answered: %s %s", detail, exception)
    headers = {"Retry-After": str(RETRY_SECONDS), "Cache-Control": "no-store"}
    if "text/html" in request.headers.get("Accept", ""):
        return HttpResponse(f"{detail}\n", content_type="text/plain; charset=utf-8", status=status, headers=headers)
    return JsonResponse({"error": code, "detail": detail}, status=status, headers=headers)


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
            status, _, detail = answer_to(error)
            logger.error("WebSocket refused: %s %s", detail, error)
            headers = [(b"retry-after", str(RETRY_SECONDS).encode())]
            await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
            await send({"type": "websocket.http.response.body", "body": b""})
