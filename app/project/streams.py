"""Gives a feed over HTTP for as long as a client listens: one door for views, whatever server runs them.

Under ASGI a stream leaves Django's handler (handover.py), which would keep a thread for it. Under WSGI it either
goes to an ASGI process through nginx, or holds a worker: for so long, and so many of them, as the settings say.
"""

from contextlib import ExitStack, closing
from urllib.parse import quote, urlencode

from django.http import HttpResponse, StreamingHttpResponse

from accounts.watch import Visitor, watched_blocking

from .follow import follow_blocking
from .formats import FORMATS, Writer, page_of
from .recovery import Recovery
from .slots import client_is_gone, waiting_slot
from .tickets import handover_prefix, sign

# No cache keeps it, and no proxy collects it.
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
RETRY_SECONDS = 5  # when to come back if every place to wait is taken


def stream(request, ticket, feed):
    """Answer with a stream, or with None if all places to wait are taken."""
    if prefix := handover_prefix(request):
        return _handed_over(request, ticket, prefix)
    stack = ExitStack()
    if not stack.enter_context(waiting_slot()):
        return None
    form = FORMATS[ticket.transport]
    session_key = request.session.session_key
    response = StreamingHttpResponse(_Body(_blocking(feed, ticket, form, session_key), stack))
    return with_headers(response, form_headers(form))


def wait(request, ticket, feed):
    """Answer a long poll as soon as there is something, or None if all places to wait are taken."""
    if prefix := handover_prefix(request):
        return _handed_over(request, ticket, prefix)
    with waiting_slot() as free:
        if not free:
            return None
        with closing(_following(feed, ticket, client_is_gone)) as events:
            return poll_response(*first_items(events, ticket.limit))


def first_items(events, limit):
    """Return the Recovery and the first items of `follow_blocking`; without items if none came or it has a gap."""
    recovery = None
    for event in events:
        if isinstance(event, Recovery):
            recovery = event
            if not recovery.recovered:
                break
        elif event:
            return recovery, event[:limit]
    return recovery, []


def poll_response(recovery, items):
    return HttpResponse(page_of(recovery, items), content_type="application/json", headers={"Cache-Control": "no-store"})


def form_headers(form):
    return {"Content-Type": form.content_type, **HEADERS, **form.headers}


def with_headers(response, headers):
    for name, value in headers.items():
        response.headers[name] = value
    return response


def _handed_over(request, ticket, prefix):
    text = sign(ticket, request.session.session_key)
    target = f"{prefix.rstrip('/')}{quote(request.path)}?{urlencode({'ticket': text})}"
    response = HttpResponse(headers={"X-Accel-Redirect": target})
    # nginx would keep this one instead of the stream's own.
    del response["Content-Type"]
    return response


class _Body:
    """A WSGI body that gives its place back when the server closes it, also if it never was begun."""

    def __init__(self, parts, stack):
        self._parts, self._stack = parts, stack

    def __iter__(self):
        return self._parts

    def close(self):
        self._parts.close()
        self._stack.close()


def _following(feed, ticket, is_over):
    return follow_blocking(feed, ticket.after, seconds=ticket.seconds, is_over=is_over)


def _blocking(feed, ticket, form, session_key):
    over = []  # (code, reason), once the visitor has to leave
    writer = Writer(form)
    visitor = Visitor(ticket.user_id, session_key, lambda *why: over.append(why))
    yield writer.begin()
    with watched_blocking(visitor), closing(_following(feed, ticket, lambda: over or client_is_gone())) as events:
        for event in events:
            if part := writer.write(event):
                yield part
    yield writer.close(*(over[0] if over else ()))
