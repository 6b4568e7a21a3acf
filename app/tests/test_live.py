"""Against a real Daphne in a process of its own, over TCP."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from django.conf import settings
from django.db import connection
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from project import wake
from rooms.services import message_publish

from .conftest import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)
APP = Path(__file__).resolve().parent.parent
ORIGIN = "https://testserver"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def server(transactional_db):
    """The address of a Daphne that serves the test database."""
    port = free_port()
    url = urlsplit(os.environ["DATABASE_URL"])
    environment = os.environ | {"DATABASE_URL": url._replace(path="/" + quote(connection.settings_dict["NAME"])).geturl()}
    environment |= {"DJANGO_SETTINGS_MODULE": "tests.settings", "FEED_LOOK_SECONDS": "300"}
    command = [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "project.asgi:application"]
    process = subprocess.Popen(command, cwd=APP, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


def open_socket(server, session=None):
    headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"} if session else {}
    return connect(f"ws://{server}/ws/rooms/garden/", origin=ORIGIN, additional_headers=headers, proxy=None)


def receive(ws):
    return json.loads(ws.recv(timeout=PATIENCE))


def test_an_anonymous_handshake_is_answered_with_403(server, room):
    with pytest.raises(InvalidStatus) as refused:
        open_socket(server)
    assert refused.value.response.status_code == 403


def test_a_message_of_another_process_arrives_at_once_and_survives_a_lost_connection(server, room, user, session):
    with open_socket(server, session) as ws:
        ws.send(json.dumps({"type": "subscribe", "after": 0}))
        assert receive(ws)["type"] == "subscribed"
        # The first may be found when the server joins the group. The second only a wake-up can have brought: it does
        # not look at the database by itself.
        for number in (1, 2):
            message_publish(room_id=room.pk, author=user, text="from a process without an event loop")
            assert receive(ws)["id"] == number
    message_publish(room_id=room.pk, author=user, text="while away")
    with open_socket(server, session) as ws:
        ws.send(json.dumps({"type": "subscribe", "after": 2}))
        assert receive(ws)["recovered"] is True
        assert receive(ws)["text"] == "while away"


def test_without_redis_publishing_from_a_wsgi_process_does_not_wait(room, user, unreachable_redis):
    begun = time.monotonic()
    assert message_publish(room_id=room.pk, author=user, text="stored").id == 1
    assert time.monotonic() - begun < wake.SEND_SECONDS
    assert wake._own_loop is not None
