from django.conf import settings
from django.http import JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from .probes import database_reason, redis_reason


@never_cache
@require_safe
def healthz(request):
    """The process answers; nothing else is asked."""
    return JsonResponse({"status": "ok", "release": settings.RELEASE})


@never_cache
@require_safe
def readyz(request):
    """Whether requests can be served: 200, or 503 with the reason for each part that is away."""
    reasons = {"database": database_reason(), "redis": redis_reason()}
    ready = not any(reasons.values())
    parts = {part: reason or "ok" for part, reason in reasons.items()}
    return JsonResponse({"status": "ok" if ready else "unavailable", "release": settings.RELEASE, **parts}, status=200 if ready else 503)
