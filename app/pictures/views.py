from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from rooms.models import Room

from .images import PictureRefused
from .models import Picture
from .services import picture_add


@require_POST
def pictures(request, slug):
    """Take a picture (multipart, field `picture`); 202: it shows in the room once it is made."""
    if not request.user.is_authenticated:
        return JsonResponse({"error": "login", "detail": "Log in first."}, status=401)
    room = get_object_or_404(Room, slug=slug)
    upload = request.FILES.get("picture")
    if upload is None:
        return JsonResponse({"error": "picture", "detail": 'Send a picture in the field "picture".'}, status=400)
    try:
        added = picture_add(room=room, author=request.user, upload=upload)
    except PictureRefused as refusal:
        return JsonResponse({"error": "picture", "detail": str(refusal)}, status=400)
    return JsonResponse(_state(added, slug), status=202)


@login_required
@require_GET
def picture(request, slug, picture_id):
    """The state of a picture."""
    found = get_object_or_404(Picture.objects.only("state", "reason"), pk=picture_id, room__slug=slug)
    return JsonResponse(_state(found, slug))


@login_required
@require_GET
def small(request, slug, picture_id):
    return _image(slug, picture_id, "small")


@login_required
@require_GET
def large(request, slug, picture_id):
    return _image(slug, picture_id, "large")


def _state(picture, slug):
    address = reverse("picture", args=[slug, picture.pk])
    return {"id": picture.pk, "state": picture.state, "reason": picture.reason, "address": address}


def _image(slug, picture_id, size):
    found = Picture.objects.filter(pk=picture_id, room__slug=slug, state=Picture.READY).values_list(size, flat=True)
    if not found:
        raise Http404("There is no such picture.")
    # Its bytes never change.
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return HttpResponse(bytes(found[0]), content_type="image/webp", headers=headers)
