"""A room without JavaScript: a page that a browser loads again by itself, and that says in its address how far it came."""

from uuid import uuid4

from django.contrib.auth.decorators import login_required
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from project import policy
from project.limits import frames_allowance
from project.recovery import Recovery, is_recoverable, position_of
from project.streams import with_headers

from .models import Room
from .selectors import messages_after, messages_before, room_position
from .services import MessageRefused, message_publish

SECONDS = 3
NEW = 200  # messages after the position that one page shows
CONTEXT = 30  # messages before it


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def refresh(request, slug):
    """Show what came after `after`, and some of what was before; `write` stays still, so that nothing typed is lost."""
    room = get_object_or_404(Room, slug=slug)
    after = position_of(request.GET.get("after", ""))
    refusal = None
    if request.method == "POST":
        refusal = _publish(request, room)
        if not refusal:
            return redirect(_address(room, after))
    recovery, new = _read(room, after)
    last = new[-1].number if new else recovery.after
    context = {
        "room": room,
        "recovery": recovery,
        "earlier": messages_before(room_id=room.pk, number=recovery.after, limit=CONTEXT) if recovery.recovered or not new else [],
        "new": new,
        "last": last,
        "seconds": SECONDS,
        "write": refusal is not None or "write" in request.GET,
        "here": _address(room, last),
        "text": request.POST.get("text", ""),
        "key": request.POST.get("key") or uuid4().hex,
        "refusal": refusal,
    }
    return with_headers(render(request, "rooms/refresh.html", context, status=400 if refusal else 200), policy.FRAMED)


def _read(room, after):
    oldest, newest = room_position(room_id=room.pk)
    if after is None:
        return Recovery(newest, True, oldest, newest), []
    if not is_recoverable(after, oldest=oldest, newest=newest):
        return Recovery(newest, False, oldest, newest), []
    new = messages_after(room_id=room.pk, after=after, limit=NEW)
    if new and new[0].number > after + 1:
        oldest, newest = room_position(room_id=room.pk)
        if not is_recoverable(after, oldest=oldest, newest=newest):
            return Recovery(newest, False, oldest, newest), []  # pruned between the two looks
    return Recovery(after, True, oldest, newest), new


def _publish(request, room):
    """Store what the form holds; return why not, or None."""
    if pause := frames_allowance().take(request.user.pk):
        return f"That was too much at once. Try again in {pause:.0f} seconds."
    try:
        key = request.POST.get("key") or None
        message_publish(room_id=room.pk, author=request.user, text=request.POST.get("text"), key=key)
    except MessageRefused as refused:
        return str(refused)
    return None


def _address(room, after):
    address = reverse("room-refresh", args=[room.slug])
    return address if after is None else f"{address}?after={after}"
