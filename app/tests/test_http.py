import json
import logging

import pytest
from django.test import Client
from django.urls import reverse

from rooms.models import Room
from rooms.services import message_publish

pytestmark = pytest.mark.django_db
MESSAGES = "/rooms/garden/messages"


def post_json(client, data):
    return client.post(MESSAGES, json.dumps(data), content_type="application/json", secure=True)


def test_somebody_signs_up_makes_a_room_and_logs_out(db):
    client = Client(enforce_csrf_checks=True, headers={"origin": "https://testserver"})
    token = client.get("/accounts/signup/", secure=True).cookies["__Host-csrftoken"].value
    data = {"username": "ada", "password1": "a-long-password", "password2": "a-long-password"}
    answer = client.post("/accounts/signup/", data | {"csrfmiddlewaretoken": token}, secure=True)
    assert answer.status_code == 302
    cookie = answer.cookies["__Host-sessionid"]
    assert cookie["secure"] and cookie["httponly"] and cookie["path"] == "/" and not cookie["domain"]
    token = client.cookies["__Host-csrftoken"].value
    answer = client.post("/rooms/", {"name": "Green house", "csrfmiddlewaretoken": token}, secure=True)
    assert answer.url == "/rooms/green-house/"
    assert Room.objects.get().created_by.username == "ada"
    client.post("/accounts/logout/", {"csrfmiddlewaretoken": token}, secure=True)
    assert client.get("/rooms/", secure=True).url == "/accounts/login/?next=/rooms/"


def test_login_goes_back_to_where_somebody_wanted_to_go(user):
    data = {"username": "ada", "password": "a-long-password", "next": "/rooms/garden/"}
    assert Client().post("/accounts/login/", data, secure=True).url == "/rooms/garden/"
    assert Client().post("/accounts/login/", data | {"next": "https://evil.example/"}, secure=True).url == "/rooms/"


def test_logging_out_needs_a_post(browser):
    assert browser.get("/accounts/logout/", secure=True).status_code == 405


@pytest.mark.parametrize("path", ["/rooms/", "/rooms/garden/", "/notifications/"])
def test_pages_that_need_a_login_lead_to_it(room, path):
    assert Client().get(path, secure=True).url == f"/accounts/login/?next={path}"


@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/accounts/signup/", "/rooms/", "/rooms/garden/", "/notifications/"])
def test_pages_are_whole_and_hold_no_inline_script_or_style(room, user, browser, path):
    message_publish(room_id=room.pk, author=user, text="<b>bold</b>")
    client = browser if "accounts" not in path else Client()
    answer = client.get(path, secure=True)
    html = answer.content.decode()
    assert answer.status_code == 200 and html.rstrip().endswith("</html>")
    assert "<style" not in html and " style=" not in html and "<b>bold" not in html
    assert html.count("<script") == html.count('<script type="module" src=')


def test_a_room_shows_its_newest_messages_and_where_they_end(room, user, browser):
    for number in range(1, 61):
        message_publish(room_id=room.pk, author=user, text=f"text {number}.")
    html = browser.get("/rooms/garden/", secure=True).content.decode()
    assert "text 60." in html and "text 11." in html and "text 10." not in html
    assert 'data-newest="60"' in html


def test_a_page_that_does_not_exist_says_so(browser):
    for path in ("/nowhere/", "/rooms/nowhere/", "/rooms/nowhere/messages"):
        assert browser.get(path, secure=True).status_code == 404


def test_a_room_name_that_is_taken_is_said_in_the_form(room, browser):
    answer = browser.post("/rooms/", {"name": "Garden"}, secure=True)
    assert answer.status_code == 200 and b"There is a room at this address already" in answer.content


def test_publishing_as_form_and_as_json_with_a_key_that_is_repeated(room, browser):
    assert browser.post(MESSAGES, {"text": "form"}, secure=True).json() == {"id": 1, "key": None}
    first = post_json(browser, {"text": "json", "key": "k"})
    again = post_json(browser, {"text": "json", "key": "k"})
    assert (first.status_code, first.json()) == (201, {"id": 2, "key": "k"})
    assert (again.status_code, again.json()) == (200, {"id": 2, "key": "k"})


@pytest.mark.parametrize("body", ["{", "[]", '"text"', "{}", '{"text": 1}', '{"text": "a", "key": 1}', '{"text": "  "}'])
def test_a_body_that_is_no_message_is_refused_as_json(room, browser, body):
    answer = browser.post(MESSAGES, body, content_type="application/json", secure=True)
    assert answer.status_code == 400 and answer.json()["detail"]


def test_publishing_without_a_csrf_token_is_refused(room, user):
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    assert client.post(MESSAGES, {"text": "a"}, secure=True).status_code == 403


def test_history_and_publishing_need_a_login_and_say_so_as_json(room):
    assert Client().get(MESSAGES, secure=True).status_code == 401
    assert Client().post(MESSAGES, {"text": "a"}, secure=True).json()["error"] == "login"


def test_history_begins_after_an_id_and_says_when_it_cannot(room, user, browser):
    for text in ("one", "two"):
        message_publish(room_id=room.pk, author=user, text=text)
    page = browser.get(MESSAGES + "?after=1", secure=True).json()
    assert [message["text"] for message in page["messages"]] == ["two"]
    assert (page["recovered"], page["oldest"], page["newest"]) == (True, 1, 2)
    assert browser.get(MESSAGES + "?after=3", secure=True).json()["recovered"] is False
    for wrong in ("-1", "x", "", "1e3", "9" * 30, "²"):
        assert browser.get(MESSAGES, {"after": wrong}, secure=True).status_code == 400


def test_mentions_are_listed_until_read(room, other, browser):
    message_publish(room_id=room.pk, author=other, text="hello @ada")
    page = browser.get("/notifications/", secure=True).content.decode()
    assert "hello @ada" in page and "unread" in page
    browser.post("/notifications/", {"up_to": "1"}, secure=True)
    assert "unread" not in browser.get("/notifications/", secure=True).content.decode()


def test_a_request_id_is_kept_answered_and_logged(caplog):
    with caplog.at_level(logging.WARNING):
        answer = Client().get("/nowhere", headers={"x-request-id": "abc-1"}, secure=True)
    assert answer["X-Request-ID"] == "abc-1"
    from project.log import JsonFormatter

    line = json.loads(JsonFormatter().format(caplog.records[-1]))
    assert (line["request_id"], line["level"], line["status_code"]) == ("abc-1", "WARNING", 404)


def test_a_request_id_that_would_break_a_log_line_is_replaced():
    answer = Client().get("/healthz", headers={"x-request-id": 'a" b'}, secure=True)
    assert len(answer["X-Request-ID"]) == 32


async def test_a_request_id_is_kept_under_asgi(async_client):
    answer = await async_client.get("/healthz", headers={"x-request-id": "abc-2"})
    assert answer["X-Request-ID"] == "abc-2"


def test_a_host_that_is_not_ours_is_refused():
    assert Client().get("/healthz", headers={"host": "evil.example"}).status_code == 400


def test_addresses_have_the_names_that_templates_use():
    assert reverse("room-messages", args=["garden"]) == MESSAGES
