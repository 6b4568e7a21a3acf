"""Streams and long polls beyond recovery: headers, heartbeats, limits, handover, who may read, when they end."""

import asyncio
import json
import re

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from accounts.services import session_create
from accounts.watch import watch
from project import codes, tickets
from project.limits import Allowance
from project.slots import waiting_slot

from .conftest import PATIENCE, Socket, publish
from .readers import AsgiAnswer, PollReader, StreamReader, WsgiAnswer

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/ws/rooms/garden/"
ANSWERS = [AsgiAnswer, WsgiAnswer]


@pytest.fixture(autouse=True)
def patience(settings, monkeypatch):
    settings.WAITING_REQUESTS_MAX, settings.STREAM_HEARTBEAT_SECONDS, settings.FEED_LOOK_SECONDS = 4, 0, 0.2
    monkeypatch.setattr("project.streams.client_is_gone", WsgiAnswer.client_is_gone)
    WsgiAnswer.gone.clear()


async def until_text(answer, wanted, seconds=PATIENCE):
    text = ""
    async with asyncio.timeout(seconds):
        while wanted not in text:
            part = await answer.parts.get()
            assert isinstance(part, bytes), f"ended without {wanted!r}: {text}"
            text += part.decode()
    return text


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_stream_is_kept_by_no_cache_and_collected_by_no_proxy(answer, room, session):
    events = answer("/rooms/garden/events?after=0", session)
    text = await until_text(events, ": still here")
    assert text.startswith("retry: ") and text.index("event: recovery") < text.index(": still here")
    assert events.status == 200 and events.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert events.headers["cache-control"] == "no-store" and events.headers["x-accel-buffering"] == "no"
    await events.close()


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_frame_is_a_document_with_one_script_that_only_our_own_pages_may_frame(answer, room, user, session):
    await publish(room, user, "<b>\"'&")
    frame = answer("/rooms/garden/frame?after=0", session)
    text = await until_text(frame, 'data-event="heartbeat"')
    assert frame.headers["x-frame-options"] == "SAMEORIGIN" and len(text) > 2048
    assert frame.headers["content-security-policy"].endswith("frame-ancestors 'self'")
    assert text.count("<script") == 1 and "frame.js" in text and "<b>" not in text
    assert 'data-event="message" data-id="1"' in text
    await frame.close()


@pytest.mark.parametrize(
    ("path", "option", "framed_by"),
    [
        ("/rooms/garden/", "DENY", "'none'"),
        ("/rooms/garden/compare", "DENY", "'none'"),
        ("/rooms/garden/refresh", "SAMEORIGIN", "'self'"),  # beside the other transports, on the page that compares them
    ],
)
def test_who_may_frame_a_page(room, browser, path, option, framed_by):
    answer = browser.get(path, secure=True)
    assert answer["X-Frame-Options"] == option
    assert answer["Content-Security-Policy"].endswith(f"frame-ancestors {framed_by}")


@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/rooms/", "/rooms/garden/", "/rooms/garden/compare", "/no-such-page"])
def test_a_page_needs_no_inline_script_and_no_inline_style(room, browser, path):
    answer = browser.get(path, secure=True)
    assert "'unsafe-" not in answer["Content-Security-Policy"]
    page = answer.content.decode()
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:", page)


@pytest.mark.parametrize("answer", ANSWERS)
async def test_the_browsers_last_event_id_wins(answer, room, user, session):
    await publish(room, user, "one", "two", "three")
    reader = StreamReader(session, answer, "events")
    assert (await reader.open(0, **{"last-event-id": "2"}))["after"] == 2
    assert (await reader.frame())["text"] == "three"
    await reader.close()


@pytest.mark.parametrize("path", ["events", "frame", "messages?wait=1"])
def test_streams_need_a_login_a_room_and_an_id(room, browser, path):
    name = path.partition("?")[0]
    assert Client().get(f"/rooms/garden/{path}", secure=True).status_code == 401
    assert browser.get(f"/rooms/nowhere/{path}", secure=True).status_code == 404
    assert browser.get(f"/rooms/garden/{name}?after=x&wait=1", secure=True).status_code == 400
    assert browser.post(f"/rooms/garden/{name}", secure=True).status_code == (400 if name == "messages" else 405)


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "wait=-1", "wait=x"])
def test_a_poll_with_numbers_that_make_no_sense_is_refused(room, browser, query):
    assert browser.get(f"/rooms/garden/messages?{query}", secure=True).json()["error"] == query.partition("=")[0]


def test_a_limit_gives_so_many_messages_and_says_that_there_are_more(room, user, browser):
    from rooms.services import message_publish

    for text in "abc":
        message_publish(room_id=room.pk, author=user, text=text)
    page = browser.get("/rooms/garden/messages?limit=2&wait=5", secure=True).json()
    assert ([message["text"] for message in page["messages"]], page["newest"]) == (["a", "b"], 3)


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_long_poll_ends_empty_when_nothing_comes(answer, room, session):
    reader = PollReader(session, answer)
    assert await reader.page(after=0, wait=1) == {"messages": [], "recovered": True, "oldest": None, "newest": 0}


@pytest.mark.parametrize("path", ["events", "frame", "messages?wait=1"])
def test_when_every_place_to_wait_is_taken_a_worker_says_so(room, browser, settings, path):
    settings.WAITING_REQUESTS_MAX = 1
    with waiting_slot() as held:
        assert held
        answer = browser.get(f"/rooms/garden/{path}", secure=True)
    assert answer.status_code == 429 and int(answer["Retry-After"]) > 0
    assert path != "frame" or '"code": 4103' in answer.content.decode().replace("&quot;", '"')
    with waiting_slot() as held:
        assert held


def test_what_is_there_already_is_answered_also_when_no_place_to_wait_is_left(room, user, browser, settings):
    from rooms.services import message_publish

    settings.WAITING_REQUESTS_MAX = 0
    message_publish(room_id=room.pk, author=user, text="there")
    assert browser.get("/rooms/garden/messages?wait=9", secure=True).json()["newest"] == 1


# --- Handover


@pytest.mark.parametrize("path", ["events?after=0", "frame?after=0", "messages?wait=1"])
async def test_where_nginx_offers_it_a_stream_is_handed_over_and_reads_the_same(room, user, session, path, settings):
    await publish(room, user, "one") if "wait" not in path else None
    asked = WsgiAnswer(f"/rooms/garden/{path}", session, **{"x-stream-handover": "/handover/"})
    assert await asked.parts.get() == b""
    await asked.close()
    target = asked.headers["x-accel-redirect"]
    assert target.startswith(f"/handover/rooms/garden/{path.partition('?')[0]}?ticket=")
    assert "content-type" not in asked.headers
    taken = AsgiAnswer(target, session)
    await until_text(taken, '"recovered": true' if "frame" not in path else "&quot;recovered&quot;: true")
    assert taken.status == 200
    await taken.close()


def test_the_setting_turns_handover_off(room, browser, settings):
    settings.STREAM_HANDOVER, settings.WAITING_REQUESTS_MAX = False, 0
    answer = browser.get("/rooms/garden/events", secure=True, headers={"x-stream-handover": "/handover/"})
    assert answer.status_code == 429 and not answer.has_header("X-Accel-Redirect")


async def test_a_ticket_is_good_for_its_session_only(room, user, session, other_session):
    ticket = tickets.Ticket(user.pk, ("room", room.pk), 0, "messages", 0.1, 5)
    path = f"/handover/rooms/garden/messages?ticket={tickets.sign(ticket, session)}"
    for address, key, status in [(path, session, 200), (path, other_session, 403), (path + "x", session, 403)]:
        answer = AsgiAnswer(address, key)
        await answer.parts.get()
        assert answer.status == status
        await answer.close()


@pytest.mark.parametrize("name", ["events", "frame", "messages"])
async def test_who_waited_too_long_for_a_server_that_is_replaced_is_told_to_come_back(room, user, session, monkeypatch, name):
    ticket = tickets.Ticket(user.pk, ("room", room.pk), 0, name, 5, 5)
    path = f"/handover/rooms/garden/{name}?ticket={tickets.sign(ticket, session)}"
    monkeypatch.setattr(tickets, "SECONDS", -1)
    answer = AsgiAnswer(path, session)
    text = (await answer.parts.get()).decode()
    if name == "messages":
        assert (answer.status, answer.headers["retry-after"], json.loads(text)["error"]) == (503, "1", "unavailable")
    else:
        assert answer.status == 200
        assert '"code": 1012' in text.replace("&quot;", '"')
    await answer.close()


async def test_the_places_to_which_streams_go_are_no_pages(room, session):
    answer = WsgiAnswer("/handover/rooms/garden/events?ticket=x", session)
    await answer.parts.get()
    assert answer.status == 404
    await answer.close()


# --- Who may stay


async def close_code_of(stream):
    name, data = await stream.event()
    assert name == "close", (name, data)
    return data["code"]


async def log_out(session):
    client = Client(headers={"x-forwarded-proto": "https"})
    client.cookies["__Host-sessionid"] = session
    await sync_to_async(client.post)(reverse("logout"), secure=True)


async def test_a_logout_closes_every_socket_and_stream_of_the_user(room, user, session, other_session):
    elsewhere = await sync_to_async(session_create)(user=user)
    sockets = [Socket(PATH, session), Socket("/ws/notifications/", session), Socket(PATH, elsewhere)]
    for socket in sockets:
        await socket.open()
    strangers = Socket(PATH, other_session)
    await strangers.open()
    streams = [StreamReader(session, answer, kind) for answer in ANSWERS for kind in ("events", "frame")]
    for stream in streams:
        await stream.open(0)
    await log_out(session)
    assert [(await socket.receive_output())["code"] for socket in sockets] == [4001, 4001, 4201]
    assert [await close_code_of(stream) for stream in streams] == [codes.SESSION_OVER] * 4
    assert await strangers.receive_nothing(0.1)
    for closed in [*sockets, strangers]:
        await closed.disconnect()
    for stream in streams:
        await stream.close()
    assert not watch()._visitors


@pytest.mark.parametrize("change", ["password", "closed", "deleted"])
async def test_a_new_password_or_a_closed_account_closes_the_sockets(room, other, other_session, change):
    socket = Socket(PATH, other_session)
    await socket.open()

    def make_change():
        if change == "deleted":
            get_user_model().objects.get(pk=other.pk).delete()
            return
        other.set_password("another-long-password") if change == "password" else setattr(other, "is_active", False)
        other.save()

    await sync_to_async(make_change)()
    assert (await socket.receive_output())["code"] == codes.SESSION_OVER
    await socket.disconnect()


async def test_an_expired_session_is_noticed_on_the_clock(room, session, settings):
    from django.contrib.sessions.models import Session
    from django.utils import timezone

    settings.SESSION_CHECK_SECONDS = 0.2
    socket = Socket(PATH, session)
    await socket.open()
    await sync_to_async(Session.objects.update)(expire_date=timezone.now())
    assert (await socket.receive_output())["code"] == codes.SESSION_OVER
    await socket.disconnect()


async def test_logging_in_again_disturbs_nobody(room, user, session):
    socket = Socket(PATH, session)
    await socket.open()
    await sync_to_async(user.save)(update_fields=["last_login"])
    assert await socket.receive_nothing(0.3)
    await socket.disconnect()


async def test_too_many_connections_of_one_user_are_closed_with_back_off(room, session, other_session, settings):
    settings.CONNECTIONS_PER_USER = 2
    first, second, third, stranger = [Socket(PATH, key) for key in (session, session, session, other_session)]
    await first.open(), await second.open()
    assert (await third.connect())[0]
    assert (await third.receive_output())["code"] == codes.TOO_MANY_CONNECTIONS
    stream = StreamReader(session, AsgiAnswer, "events")
    stream.body = AsgiAnswer("/rooms/garden/events", session)
    assert '"code": 4101' in await until_text(stream.body, "event: close")
    await stranger.open()
    await first.disconnect()
    fourth = Socket(PATH, session)
    await fourth.open()
    for socket in (second, third, fourth, stranger):
        await socket.disconnect()
    await stream.close()


async def test_too_many_messages_get_an_error_frame_then_the_end(room, session, settings, monkeypatch, browser):
    settings.FRAMES_BURST = 2
    allowance = Allowance(rate=0.1, burst=2)
    for place in ("project.sockets", "rooms.views"):
        monkeypatch.setattr(f"{place}.frames_allowance", lambda: allowance)
    socket = Socket(PATH, session)
    await socket.connect()
    assert [(await socket.ask(type="publish", text="x"))["type"] for _ in range(2)] == ["ack", "ack"]
    error = await socket.ask(type="publish", text="x", key="k")
    assert (error["code"], error["key"]) == ("rate", "k") and error["retry_after"] > 5
    answer = await sync_to_async(browser.post)("/rooms/garden/messages", {"text": "x"}, secure=True)
    assert answer.status_code == 429 and int(answer["Retry-After"]) > 0
    await socket.ask(type="publish", text="x")
    await socket.send_json_to({"type": "publish", "text": "x"})
    assert (await socket.receive_output())["code"] == codes.TOO_MANY_MESSAGES
    await socket.disconnect()


def test_an_allowance_comes_back_and_forgets_who_has_it_whole(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("project.limits.time.monotonic", lambda: now[0])
    monkeypatch.setattr("project.limits.KNOWN_MOST", 3)
    allowance = Allowance(rate=2, burst=2)
    assert [allowance.take("ada") for _ in range(3)] == [0, 0, 0.5]
    now[0] = 0.5
    assert [allowance.take("ada") for _ in range(2)] == [0, 0.5]
    now[0] = 9
    for name in "abcd":
        assert allowance.take(name) == 0
    assert "ada" not in allowance._left


# --- The database is away


@pytest.mark.parametrize("path", ["messages", "messages?wait=5", "events", "frame", "refresh"])
def test_without_the_database_requests_are_answered_with_503(room, browser, path, monkeypatch):
    from django.db import OperationalError

    def away(*args, **kwargs):
        raise OperationalError("the database is away")

    for name in ("live.get_object_or_404", "refresh.get_object_or_404", "views.get_object_or_404"):
        monkeypatch.setattr(f"rooms.{name}", away)
    answer = browser.get(f"/rooms/garden/{path}", secure=True)
    assert answer.status_code == 503 and answer.json()["error"] == "unavailable" and answer["Retry-After"]


async def test_without_the_database_publishing_fails_clearly_and_sockets_stay(room, user, session, monkeypatch):
    from django.db import OperationalError

    socket = Socket(PATH, session)
    await socket.open(0)

    def away(**kwargs):
        raise OperationalError("the database is away")

    monkeypatch.setattr("rooms.consumers.message_publish", away)
    error = await socket.ask(type="publish", text="x", key="k")
    assert (error["code"], error["key"]) == ("unavailable", "k")
    monkeypatch.undo()
    await publish(room, user, "back")
    assert (await socket.frame())["text"] == "back"
    await socket.disconnect()
