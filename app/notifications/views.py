from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from project.recovery import position_of

from .selectors import inbox_get, notifications_latest
from .services import notifications_mark_read


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def notifications(request):
    if request.method == "POST":
        notifications_mark_read(user=request.user, up_to=position_of(request.POST.get("up_to", "")) or 0)
        return redirect("notifications")
    inbox = inbox_get(user_id=request.user.pk)
    found = notifications_latest(user_id=request.user.pk, limit=50)
    newest = found[0].number if found else inbox.newest
    return render(request, "notifications/list.html", {"notifications": found, "inbox": inbox, "newest": newest})
