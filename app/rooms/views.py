import json

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_safe

from project.limits import frames_allowance

from .forms import RoomForm
from .live import LOGIN, error, history
from .models import Room
from .selectors import messages_latest, room_list
from .services import MessageRefused, message_publish, room_create

HISTORY = 50  # messages that a room's page shows at first

# What the comparison page shows: the name that feed.js knows, the name for people, what it means.
TRANSPORTS = [
    ("websocket", "WebSocket", "One connection, both ways."),
    ("sse", "Server-Sent Events", "One answer that does not end."),
    ("longpoll", "Long polling", "An answer as soon as there is something to say."),
    ("poll", "Polling", "A question every two seconds."),
    ("iframe", "Streamed iframe", "A page that does not end, as in 2006."),
]


@require_safe
def home(request):
    return render(request, "home.html", {"rooms": room_list()[:8]})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def rooms(request):
    form = RoomForm(request.POST or None)
    if form.is_valid():
        try:
            room = room_create(name=form.cleaned_data["name"], created_by=request.user)
        except MessageRefused as refusal:
            form.add_error("name", str(refusal))
        else:
            return redirect("room", slug=room.slug)
    return render(request, "rooms/list.html", {"form": form, "rooms": room_list()})


@login_required
@require_GET
def room(request, slug):
    room = get_object_or_404(Room, slug=slug)
    messages = messages_latest(room_id=room.pk, limit=HISTORY)
    newest = messages[-1].number if messages else room.newest
    context = {"room": room, "room_messages": messages, "newest": newest, "picture_bytes": settings.PICTURE_BYTES}
    return render(request, "rooms/room.html", context)


@login_required
@require_GET
def compare(request, slug):
    """The same feed on all transports side by side."""
    room = get_object_or_404(Room, slug=slug)
    context = {"room": room, "newest": room.newest, "transports": TRANSPORTS}
    return render(request, "rooms/compare.html", context)


@require_http_methods(["GET", "POST"])
def messages(request, slug):
    """GET: what comes after an id, at once or when there is something. POST: publish. Both speak JSON, also about errors."""
    if not request.user.is_authenticated:
        return error(*LOGIN)
    room = get_object_or_404(Room, slug=slug)
    return _publish(request, room) if request.method == "POST" else history(request, room)


def _publish(request, room):
    if pause := frames_allowance().take(request.user.pk):
        return error(429, "rate", f"Too many messages: try again in {pause:.2f} s.")
    try:
        data = json.loads(request.body) if request.content_type == "application/json" else request.POST
    except ValueError:
        return error(400, "json", "The body is not JSON.")
    if not hasattr(data, "get"):
        return error(400, "json", "The body is not an object.")
    try:
        published = message_publish(room_id=room.pk, author=request.user, text=data.get("text"), key=data.get("key") or None)
    except MessageRefused as refusal:
        return error(400, refusal.code, str(refusal))
    return JsonResponse({"id": published.id, "key": data.get("key") or None}, status=201 if published.created else 200)
