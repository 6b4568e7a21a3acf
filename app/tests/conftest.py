import pytest
from asgiref.sync import SyncToAsync
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client

from accounts.services import session_create
from project.asgi import application
from project.feed import in_database
from rooms.models import Room
from rooms.services import message_publish

ORIGIN = "https://testserver"
PATIENCE = 20  # seconds: what has to come comes, on a busy machine a little later


@pytest.fixture
def user(db):
    return get_user_model().objects.create_user("ada", password="a-long-password")


@pytest.fixture
def other(db):
    return get_user_model().objects.create_user("grace", password="a-long-password")


@pytest.fixture
def room(db, user):
    return Room.objects.create(slug="garden", name="Garden", created_by=user)


@pytest.fixture
def browser(user):
    """A client that is logged in and speaks TLS."""
    client = Client(headers={"x-forwarded-proto": "https"})
    client.cookies[settings.SESSION_COOKIE_NAME] = session_create(user=user)
    return client


@pytest.fixture
def session(user):
    return session_create(user=user)


@pytest.fixture
def other_session(other):
    return session_create(user=other)


class Socket(WebsocketCommunicator):
    """A WebSocket through the whole ASGI application, as a browser opens it."""

    def __init__(self, path, session=None, origin=ORIGIN):
        headers = [(b"host", b"testserver")]
        if origin:
            headers.append((b"origin", origin.encode()))
        if session:
            headers.append((b"cookie", f"{settings.SESSION_COOKIE_NAME}={session}".encode()))
        super().__init__(application, path, headers)

    async def open(self, after=None):
        """Connect and subscribe; return the frame `subscribed`."""
        connected, detail = await self.connect()
        assert connected, detail
        return await self.ask(type="subscribe", after=after)

    # The communicator's own second is short for a handshake that asks a database on a busy machine.
    async def connect(self, timeout=PATIENCE):
        return await super().connect(timeout)

    async def receive_output(self, timeout=PATIENCE):
        return await super().receive_output(timeout)

    async def disconnect(self, code=1000, timeout=PATIENCE):
        await super().disconnect(code, timeout)

    async def ask(self, **frame):
        await self.send_json_to(frame)
        return await self.frame()

    async def frame(self):
        return await self.receive_json_from(timeout=PATIENCE)

    async def frames(self, count):
        return [await self.frame() for _ in range(count)]


async def publish(room, author, *texts):
    for text in texts:
        await in_database(message_publish)(room_id=room.pk, author=author, text=text)


def texts(frames):
    return [frame["text"] for frame in frames]


@pytest.fixture
def unreachable_redis(settings):
    """A channel layer whose Redis is away: nothing listens on the discard port."""
    hosts = [{"address": "redis://127.0.0.1:9/0", "socket_connect_timeout": 1}]
    layer = {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": hosts}}
    settings.CHANNEL_LAYERS = {"default": layer}
    settings.REDIS_URLS = ["redis://127.0.0.1:9/0"]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup):
    """Give back the connection of the thread that authenticates sockets, before the test database is dropped.

    channels.testing keeps it open, for tests inside a transaction.
    """
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
