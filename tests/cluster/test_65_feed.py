"""The feed's promise on real hosts: a small feed check, and a logout that reaches the sockets of every app host."""

import json
import re
import time
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed

from helpers import User, receive

TRANSPORTS = ("meta refresh", "polling", "long polling", "streamed iframe", "Server-Sent Events", "WebSocket", "MQTT")


def test_nothing_is_lost_doubled_or_out_of_order_on_any_transport_across_restarts(deployed):
    done = deployed.make("feed-check", ROOM_EVENTS=400, SUBSCRIBERS=28)
    assert done.code == 0, done.out + done.err
    for name in TRANSPORTS:
        line = re.search(rf"^{name} +(\S+) +(\S+) +0 +0 +0 ", done.out, re.MULTILINE)
        assert line and line.groups() == ("4", "1,600"), done.out
    assert "restarted redis-server.service on data" in done.err
    assert "restarted daphne@1.service on app1" in done.err


@pytest.mark.parametrize(
    ("setting", "said"), [({"ROOM_EVENTS": "many"}, "ROOM_EVENTS is 'many'"), ({"SUBSCRIBERS": "3"}, "SUBSCRIBERS is 3")]
)
def test_a_feed_check_that_makes_no_sense_is_refused(deployed, setting, said):
    done = deployed.make("feed-check", **setting)
    assert done.code == 2
    assert said in done.err
    assert "as in: make feed-check" in done.err


def sockets_by_host(deployed):
    """{app host: connections of the edge to its Daphnes}."""
    said = deployed.on("edge", "sudo ss -Htn state established '( dport >= 9001 and dport <= 9099 )'")[1]
    return {host: len(re.findall(rf"\s{re.escape(deployed.address(host))}:9\d\d\d\b", said)) for host in ("app1", "app2")}


def test_a_logout_closes_every_socket_of_the_user_on_every_app_host(deployed, ada, grace):
    answer = ada.post("/rooms/", name=f"Logout {time.time_ns():x}")
    room = answer.headers["location"]
    second = User(deployed)
    second.name, second.password = ada.name, ada.password
    second.log_in()
    before = sockets_by_host(deployed)
    with ExitStack() as stack:
        stack.callback(second.browser.close)
        mine = [stack.enter_context(ada.open(f"/ws{room}")) for _ in range(8)]
        elsewhere, stranger = (stack.enter_context(user.open(f"/ws{room}")) for user in (second, grace))
        for socket in [*mine, elsewhere, stranger]:
            socket.send(json.dumps({"type": "subscribe", "after": None}))
            receive(socket, "subscribed")
        after = sockets_by_host(deployed)
        assert all(after[host] > before[host] for host in after), (before, after)  # they are on both hosts
        ada.post("/accounts/logout/")
        codes = []
        for socket in [*mine, elsewhere]:
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=20)
            codes.append(closed.value.rcvd.code)
        assert codes == [4001] * 8 + [4201]  # whose own session still holds is let in again
        with second.open(f"/ws{room}") as again:
            again.send(json.dumps({"type": "subscribe", "after": 0}))
            receive(again, "subscribed")
            stranger.send(json.dumps({"type": "publish", "text": "still here", "key": "k"}))
            assert receive(stranger, "message")["text"] == "still here"
