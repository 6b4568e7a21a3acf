"""Each topology, switched to and used through the edge."""

import json
import secrets

import pytest
from websockets.exceptions import InvalidStatus

from helpers import User, receive

DAPHNES = {"daphne@1": "active", "daphne@2": "active"}
SECONDS = []  # what each switch took
UNITS = {"wsgi": {"uwsgi": "active"}, "asgi": DAPHNES, "mixed": DAPHNES | {"uwsgi": "active"}}


@pytest.fixture(scope="module", params=["wsgi", "asgi", "mixed"])
def topology(request, deployed):
    """Ends with mixed, the default."""
    done = deployed.make("topology", TOPOLOGY=request.param)
    assert done.code == 0, done.out[-2000:] + done.err
    assert f"Serving {request.param} after" in done.out
    SECONDS.append(done.seconds)
    return request.param


@pytest.fixture
def room(ada):
    """A new room of Ada's."""
    answer = ada.post("/rooms/", name=f"Garden {secrets.token_hex(4)}")
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def test_only_the_units_it_needs_are_running(deployed, topology):
    status = deployed.status()
    assert status["topology"] == topology
    for host in ("app1", "app2"):
        units = {unit: state for unit, state in status["hosts"][host]["units"].items() if unit.startswith(("uwsgi", "daphne"))}
        assert {unit: state for unit, state in units.items() if state != "inactive"} == UNITS[topology]


def test_pages_and_static_files_are_served(deployed, topology):
    with deployed.browser() as browser:
        page = browser.get("/")
        assert page.status_code == 200
        assert "<h1>" in page.text
        style = page.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
        assert browser.get(style).headers["cache-control"].endswith("immutable")
        assert browser.get("/workload/json").json() == {"message": "Hello, World!"}


def test_somebody_signs_up_and_logs_in_again(deployed, topology, ada):
    assert ada.browser.get("/rooms/").status_code == 200
    ada.browser.cookies.clear()
    assert ada.browser.get("/rooms/").status_code == 302
    assert ada.log_in().browser.get("/rooms/").status_code == 200


def test_two_people_talk(topology, ada, grace, room):
    if topology == "wsgi":
        token = ada.browser.cookies["__Host-csrftoken"]
        sent = ada.browser.post(f"{room}messages", json={"text": "Hello"}, headers={"X-CSRFToken": token})
        assert sent.status_code == 201
        found = grace.browser.get(f"{room}messages", params={"after": 0}).json()["messages"]
        assert [(message["author"], message["text"]) for message in found] == [(ada.name, "Hello")]
        return
    with ada.open(f"/ws{room}") as hers, grace.open(f"/ws{room}") as theirs:
        for socket in (hers, theirs):
            socket.send(json.dumps({"type": "subscribe", "after": 0}))
            assert receive(socket, "subscribed")["recovered"] is True
        hers.send(json.dumps({"type": "publish", "text": "Hello", "key": "one"}))
        assert receive(theirs, "message")["text"] == "Hello"
        theirs.send(json.dumps({"type": "publish", "text": "Good evening", "key": "two"}))
        assert receive(hers, "message")["author"] == ada.name
        assert receive(hers, "message")["author"] == grace.name


def test_without_a_session_there_is_no_socket(deployed, topology):
    nobody = User(deployed)
    with pytest.raises(InvalidStatus) as refused, nobody.browser:
        nobody.open("/ws/notifications/")
    assert refused.value.response.status_code == (501 if topology == "wsgi" else 403)


def test_where_there_are_no_websockets_the_answer_says_so(topology, ada):
    if topology != "wsgi":
        with ada.open("/ws/notifications/") as socket:
            assert socket.response.status_code == 101
        return
    with pytest.raises(InvalidStatus) as refused:
        ada.open("/ws/notifications/")
    answer = refused.value.response
    assert answer.status_code == 501
    assert answer.headers["content-type"] == "text/plain"
    assert b"The topology wsgi has no WebSocket server" in answer.body


def test_the_choice_is_remembered_for_the_next_deploy(deployed, topology):
    chosen = deployed.inventory / "group_vars/laurel/topology.yml"
    assert f"topology: {topology}\n" in chosen.read_text()


def test_a_switch_takes_seconds(deployed):
    # The quickest of the three, because a busy machine may hold one up.
    assert SECONDS
    assert min(SECONDS) < 20
