"""Lets in the WebSockets that come from our own pages."""

import logging
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpResponse
from django.http.request import is_same_domain

logger = logging.getLogger(__name__)


class OriginValidator:
    """Refuses, before accept, a WebSocket whose Origin is not listed, and logs who, what and the setting to change.

    Browsers send cookies with a WebSocket from any site, so the Origin header is what CSRF tokens are to a form.
    The list is CSRF_TRUSTED_ORIGINS: scheme, host and port, with `*.` for subdomains, as for forms.
    """

    def __init__(self, inner):
        self.inner = inner

    async def __call__(self, scope, receive, send):
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin1")
        if is_trusted(origin):
            return await self.inner(scope, receive, send)
        logger.warning(
            "WebSocket refused: its Origin is not in CSRF_TRUSTED_ORIGINS",
            extra={
                "origin": origin or "(none)",
                "host": headers.get(b"host", b"").decode("latin1"),
                "path": scope["path"],
                "client": (scope.get("client") or ["(unknown)"])[0],
                "forwarded_for": headers.get(b"x-forwarded-for", b"").decode("latin1"),
                "expected": settings.CSRF_TRUSTED_ORIGINS,
                "fix": f"add {origin} to CSRF_TRUSTED_ORIGINS" if origin else "send an Origin header: browsers always do",
            },
        )
        return await refuse(scope, receive, send)


def is_trusted(origin):
    """Return whether `origin` ("https://host:port") is one of CSRF_TRUSTED_ORIGINS."""
    return any(_matches(origin, pattern) for pattern in settings.CSRF_TRUSTED_ORIGINS)


def _matches(origin, pattern):
    if origin == pattern:
        return True
    if "*" not in pattern:
        return False
    try:
        seen, trusted = urlsplit(origin), urlsplit(pattern)
    except ValueError:
        return False
    return seen.scheme == trusted.scheme and is_same_domain(seen.netloc, trusted.netloc.lstrip("*"))


async def refuse(scope, receive, send):
    """Answer a WebSocket handshake with 403."""
    await receive()
    await send({"type": "websocket.close"})


def upgrade_required(request):
    """Answer a plain request for a WebSocket's address."""
    headers = {"Upgrade": "websocket", "Cache-Control": "no-store"}
    return HttpResponse("This address speaks WebSocket.\n", content_type="text/plain", status=426, headers=headers)
