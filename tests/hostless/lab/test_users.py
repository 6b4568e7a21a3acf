"""Users against a server that tells the truth, and against one that lies."""

import json

import pytest

from loadtests.users.websocket import Closed, Refused, WebSocket

SHORT = ("--warm-up", "0.2", "--measure", "1", "--seed", "3")
CHAT = ("-u", "8", "--rooms", "2", "--message-rate", "3", *SHORT)


def test_a_socket_copes_with_fragments_and_pings(start_server):
    socket = WebSocket.connect(f"ws://127.0.0.1:{start_server()}/ws/rooms/a/")
    socket.send(json.dumps({"type": "subscribe", "after": 0}))
    assert json.loads(socket.receive())["type"] == "subscribed"
    long = "x" * 70_000  # needs the 64-bit length field
    socket.send(json.dumps({"type": "publish", "text": long, "key": "k"}))
    assert json.loads(socket.receive())["text"] == long
    assert json.loads(socket.receive()) == {"type": "ack", "id": 1, "key": "k"}
    socket.close()
    with pytest.raises(Closed):
        socket.send("after the end")


def test_a_refused_handshake_gives_the_status(start_server):
    with pytest.raises(Refused) as caught:
        WebSocket.connect(f"ws://127.0.0.1:{start_server('--lie', 'refuse')}/ws/rooms/a/")
    assert caught.value.status == 501


def test_a_lost_connection_is_code_1006(start_server):
    socket = WebSocket.connect(f"ws://127.0.0.1:{start_server('--lie', 'hang-up')}/ws/rooms/a/")
    socket.send(json.dumps({"type": "publish", "text": "a", "key": "k"}))
    with pytest.raises(Closed) as caught:
        socket.receive()
    assert caught.value.code == 1006


def test_an_address_that_is_no_websocket_is_refused():
    with pytest.raises(ValueError, match="expected ws://"):
        WebSocket.connect("http://127.0.0.1/")


def test_a_wrong_body_is_a_failure(start_server, run_locust):
    code, output, seen = run_locust("pages", start_server("--lie", "json"), "-u", "5", "--request-rate", "10", *SHORT)
    assert code == 1, output
    assert seen["series"]["json"]["failed"] == seen["series"]["json"]["count"] > 0
    assert seen["series"]["row"]["failed"] == 0


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_every_message_reaches_every_member_once(start_server, run_locust, transport):
    code, output, seen = run_locust("chat", start_server(), *CHAT, "--transport", transport, "--poll-interval", "0.3")
    assert code == 0, output
    counters = seen["counters"]
    assert counters["published"] > 10
    assert sum(room["members"] for room in seen["rooms"].values()) == 8
    assert counters["deliveries"] == counters["deliveries_expected"] == seen["series"]["delivery"]["count"]
    assert not any(counters.get(name) for name in ("lost", "duplicates", "out_of_order"))


@pytest.mark.parametrize(("lie", "counter"), [("drop", "lost"), ("duplicate", "duplicates"), ("reorder", "out_of_order")])
def test_what_is_lost_doubled_or_swapped_is_counted(start_server, run_locust, lie, counter):
    _, output, seen = run_locust("chat", start_server("--lie", lie), *CHAT)
    assert seen["counters"][counter] > 0, output
    if lie == "drop":
        assert seen["counters"]["deliveries"] < seen["counters"]["deliveries_expected"]


def test_a_user_that_cannot_start_ends_the_run_with_one_reason(start_server, run_locust):
    code, output, _ = run_locust("chat", start_server("--lie", "refuse"), *CHAT)
    assert code == 1
    assert "status 501" in output and "--transport polling" in output
    assert "Traceback" not in output


def test_a_mix_with_an_unknown_page_lists_the_known_ones(start_server, run_locust):
    code, output, _ = run_locust("pages", start_server(), *SHORT, "--mix", "front=1")
    assert code == 1
    assert "'front'" in output and "json, row" in output and "Traceback" not in output
