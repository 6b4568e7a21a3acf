"""What a benchmark asks for: small, typical, and honest about its cost. Every middleware stays on."""

import asyncio
import random
import time

from django.db.models import F
from django.http import JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from .models import Row

ROWS_MAX = 500
PAGE_ROWS = 50
WAIT_MS = 100


@require_safe
def hello(request):
    return JsonResponse({"message": "Hello, World!"})


@require_safe
def row(request):
    return JsonResponse(_as_json(Row.objects.get(pk=_any_id())))


@require_safe
def rows(request):
    count = request.GET.get("count", "20")
    if not (count.isascii() and count.isdigit() and 1 <= int(count[:9]) <= ROWS_MAX):
        return JsonResponse({"error": f"count={count[:20]!r}: expected a number from 1 to {ROWS_MAX}."}, status=400)
    return JsonResponse({"rows": [_as_json(row) for row in _some_rows(int(count))]})


# Nothing of a user is changed here, and a load generator carries no token.
@csrf_exempt
@require_POST
def write(request):
    pk = _any_id()
    Row.objects.filter(pk=pk).update(number=(F("number") + 1) % Row.ROWS)
    return JsonResponse(_as_json(Row.objects.get(pk=pk)))


@require_safe
def page(request):
    return render(request, "workload/page.html", {"rows": _some_rows(PAGE_ROWS)})


@require_safe
def slow_sync(request):
    time.sleep(WAIT_MS / 1000)
    return JsonResponse({"waited_ms": WAIT_MS})


@require_safe
async def slow_async(request):
    await asyncio.sleep(WAIT_MS / 1000)
    return JsonResponse({"waited_ms": WAIT_MS})


def _any_id():
    return random.randint(1, Row.ROWS)


def _some_rows(count):
    first = random.randint(1, Row.ROWS - count + 1)
    return Row.objects.filter(pk__gte=first, pk__lt=first + count).order_by("pk")


def _as_json(row):
    return {"id": row.pk, "number": row.number}
