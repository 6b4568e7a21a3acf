"""The opening handshake of a WebSocket, header by header, against a real Daphne."""

import pytest
from django.conf import settings

from . import servers
from .handshake import accept_of, ask, variants

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/ws/notifications/"


@pytest.fixture
def shake(transactional_db, session):
    daphne = servers.daphne()
    asked = variants("https://testserver", f"{settings.SESSION_COOKIE_NAME}={session}")
    yield lambda title: (asked[title], ask(f"http://{daphne.address}", PATH, asked[title]))
    daphne.stop()


def test_the_accept_is_the_one_of_the_rfc():
    assert accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_handshake_proves_that_the_key_was_read(shake):
    headers, seen = shake("As a browser asks")
    assert seen.status == 101
    assert (seen.headers["upgrade"].lower(), seen.headers["connection"].lower()) == ("websocket", "upgrade")
    assert seen.headers["sec-websocket-accept"] == accept_of(headers["Sec-WebSocket-Key"])


def test_a_version_that_is_not_spoken_is_refused_with_those_that_are(shake):
    _, seen = shake("A version that is not spoken")
    assert seen.status in (400, 426)  # 400 is Daphne's own; the launcher that is deployed says 426
    assert "13" in seen.headers["sec-websocket-version"].replace(" ", "").split(",")


@pytest.mark.parametrize(("title", "status"), [("No key", 400), ("No session", 403), ("A foreign origin", 403), ("A plain GET", 426)])
def test_what_is_no_handshake_of_ours_gets_a_status(shake, title, status):
    assert shake(title)[1].status == status
