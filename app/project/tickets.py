"""Tickets: what Django allowed somebody to read, for the process that gives it to them.

A view checks who asks and for what; an ASGI process that holds a ticket streams without asking the database again.
A ticket is good for seconds, and with the session it was given to only. It never reaches a browser.
"""

import hashlib
from dataclasses import asdict, dataclass

from django.conf import settings
from django.core import signing

PATH = "/handover/"
SECONDS = 10
_SALT = "project.tickets"


@dataclass(frozen=True)
class Ticket:
    """Who reads which feed (its kind and key), from where on, in which format; a wait of `seconds` and `limit` items."""

    user_id: int
    feed: tuple
    after: int | None
    transport: str
    seconds: float = 0
    limit: int = 0


def sign(ticket, session_key):
    return signing.dumps(asdict(ticket), salt=_salt(session_key), compress=False)


def verify(text, session_key):
    """Return the Ticket; raise django.core.signing.BadSignature if it is forged, too old or another session's."""
    return Ticket(**signing.loads(text, salt=_salt(session_key), max_age=SECONDS))


def _salt(session_key):
    return f"{_SALT}.{hashlib.sha256((session_key or '').encode()).hexdigest()}"


def handover_prefix(request):
    """Return where this request's stream can be handed to, or None: to this ASGI process, or to one behind nginx.

    nginx names the place in a header where it has one, and overwrites what a client sends under that name.
    """
    if hasattr(request, "scope"):
        return PATH
    return (settings.STREAM_HANDOVER and request.headers.get("X-Stream-Handover")) or None
