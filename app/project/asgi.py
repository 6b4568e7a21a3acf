"""HTTP, WebSocket and MQTT for an ASGI server."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

# Loads the apps; what follows imports models.
http = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ChannelNameRouter, ProtocolTypeRouter, URLRouter  # noqa: E402

from notifications.feeds import inbox_feed  # noqa: E402
from rooms.feeds import room_feed  # noqa: E402
from rooms.mqtt.bridge import Bridge  # noqa: E402

from .handover import Handover  # noqa: E402
from .origin import OriginValidator  # noqa: E402
from .request_id import SocketRequestId  # noqa: E402
from .unavailable import SocketUnavailable  # noqa: E402
from .urls import channel_names, websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": Handover(http, feeds={"room": room_feed, "inbox": inbox_feed}),
        "websocket": SocketRequestId(OriginValidator(SocketUnavailable(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))))),
        "channel": ChannelNameRouter(channel_names),
        "mqtt": Bridge.as_asgi(),
    }
)
