"""Every address of the project."""

from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import include, path, re_path

from notifications.consumers import NotificationConsumer
from pictures.consumers import PictureConsumer
from project.origin import refuse, upgrade_required
from rooms import views
from rooms.consumers import RoomConsumer

urlpatterns = [
    path("", views.home, name="home"),
    path("accounts/", include("accounts.urls")),
    path("rooms/", include("rooms.urls")),
    path("rooms/", include("pictures.urls")),
    path("notifications/", include("notifications.urls")),
    path("workload/", include("workload.urls")),
    path("", include("health.urls")),
    re_path(r"^ws/", upgrade_required),
    # Empty unless DEBUG: nginx serves the static files.
    *staticfiles_urlpatterns(),
]

websocket_urlpatterns = [
    path("ws/rooms/<slug:slug>/", RoomConsumer.as_asgi()),
    path("ws/notifications/", NotificationConsumer.as_asgi()),
    # Without this an unknown path is a traceback and a 500.
    re_path(r"", refuse),
]

# What `manage.py runworker` listens to, and who does the work.
channel_names = {"thumbnails": PictureConsumer.as_asgi()}
