"""The views that give a room's messages over HTTP: polling, long polling, Server-Sent Events, a streamed document."""

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from project import codes
from project.feed import encoded
from project.formats import ForeverFrame, Writer
from project.recovery import position_of, recover
from project.streams import RETRY_SECONDS, form_headers, poll_response, stream, wait, with_headers
from project.tickets import Ticket

from .feeds import room_feed
from .models import Room

PAGE = 200  # messages in one answer

LOGIN = (401, "login", "Log in first.")
WRONG_AFTER = (400, "after", '"after" is an id: a whole number, 0 or more.')
WRONG_LIMIT = (400, "limit", f'"limit" is a whole number from 1 to {PAGE}.')
WRONG_WAIT = (400, "wait", '"wait" is a whole number of seconds, 0 or more.')
# Not 503: that says to a proxy that this host cannot serve, and should be left out.
BUSY = (429, "busy", "Every place to wait is taken. Poll, or come back in a moment.")


def error(status, code, detail):
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 429 else {}
    return JsonResponse({"error": code, "detail": detail}, status=status, headers=headers)


def history(request, room):
    """Answer a poll: what comes after an id, at once; with `wait`, as soon as there is something."""
    after = position_of(request.GET.get("after", "0"))
    limit = position_of(request.GET.get("limit", str(PAGE)))
    seconds = position_of(request.GET.get("wait", "0"))
    if after is None:
        return error(*WRONG_AFTER)
    if limit is None or not 1 <= limit <= PAGE:
        return error(*WRONG_LIMIT)
    if seconds is None:
        return error(*WRONG_WAIT)
    feed = room_feed(room.pk)
    recovery, items = read_page(feed, after, limit)
    if items or not recovery.recovered or not seconds:
        return poll_response(recovery, items)
    seconds = min(seconds, settings.LONG_POLL_SECONDS)
    ticket = Ticket(request.user.pk, ("room", room.pk), after, "messages", seconds, limit)
    return wait(request, ticket, feed) or error(*BUSY)


def read_page(feed, after, limit):
    """Return the Recovery of a reader at `after`, and what it gets: [(id, JSON text)]."""
    recovery = recover_now(feed, after)
    items = encoded(feed.read(after, limit)) if recovery.recovered else []
    if items and items[0][0] > after + 1:
        # Pruned between the two looks: never a part.
        recovery = recover_now(feed, after)
        items = items if recovery.recovered else []
    return recovery, items


def recover_now(feed, after):
    oldest, newest = feed.position()
    return recover(after, oldest=oldest, newest=newest)


@require_GET
def events(request, slug):
    """Server-Sent Events; the browser's Last-Event-ID wins over `after`."""
    return _streamed(request, slug, "events", request.headers.get("Last-Event-ID") or request.GET.get("after"), error)


@require_GET
def frame(request, slug):
    """A document that never ends, for an iframe of our own pages."""
    return _streamed(request, slug, "frame", request.GET.get("after"), _frame_error)


def _streamed(request, slug, transport, after, refuse):
    if not request.user.is_authenticated:
        return refuse(*LOGIN)
    room = get_object_or_404(Room, slug=slug)
    position = None if after is None else position_of(after)
    if after is not None and position is None:
        return refuse(*WRONG_AFTER)
    ticket = Ticket(request.user.pk, ("room", room.pk), position, transport, settings.STREAM_SECONDS_WSGI)
    return stream(request, ticket, room_feed(room.pk)) or refuse(*BUSY)


def _frame_error(status, code, detail):
    """A frame's status is hard to see for the page around it: the reason comes in the document as well."""
    form = ForeverFrame()
    close_code = codes.BUSY if status == 429 else codes.SESSION_OVER if status == 401 else codes.BAD_REQUEST
    writer = Writer(form)
    response = HttpResponse(writer.begin() + writer.close(close_code, detail), status=status)
    retry = {"Retry-After": str(RETRY_SECONDS)} if status == 429 else {}
    return with_headers(response, form_headers(form) | retry)
