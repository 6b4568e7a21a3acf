"""Every way to read a room: complete, in order, resumed; and each lie of a server is seen."""

import pytest

from loadtests.users.units import Event, EventStream, FrameDocument, RefreshPage

SHORT = ("--warm-up", "0.2", "--measure", "1.5", "--seed", "3")
PUSH = ("-u", "2", "--subscribers", "6", "--rooms", "2", "--message-rate", "6", "--poll-interval", "0.2", *SHORT)
OVER_HTTP = ("sse", "iframe", "long-polling", "polling", "refresh")


@pytest.mark.parametrize("transport", [*OVER_HTTP, "websocket"])
def test_every_subscriber_gets_every_message_once(start_server, run_locust, transport):
    code, output, seen = run_locust("push", start_server(), *PUSH, "--transport", transport)
    assert code == 0, output
    counters = seen["counters"]
    assert counters["published"] > 8
    assert counters["deliveries"] == counters["deliveries_expected"] == seen["series"]["delivery"]["count"] == 3 * counters["published"]
    assert counters["received_bytes"] > 40 * counters["deliveries"]
    assert not any(counters.get(name) for name in ("lost", "duplicates", "out_of_order"))


@pytest.mark.parametrize("transport", OVER_HTTP)
@pytest.mark.parametrize(("lie", "counter"), [("drop", "lost"), ("duplicate", "duplicates")])
def test_what_is_lost_or_doubled_is_counted(start_server, run_locust, transport, lie, counter):
    _, output, seen = run_locust("push", start_server("--lie", lie), *PUSH, "--transport", transport)
    assert seen["counters"].get(counter, 0) > 0, output


@pytest.mark.parametrize("transport", ["sse", "iframe"])
def test_a_stream_that_is_closed_goes_on_after_its_last_message(start_server, run_locust, transport):
    code, output, seen = run_locust("push", start_server("--lie", "close"), *PUSH, "--transport", transport)
    assert code == 0, output
    assert seen["counters"]["resumed"] > 3
    assert seen["counters"]["deliveries"] == seen["counters"]["deliveries_expected"]
    assert not seen["counters"].get("lost") and not seen["counters"].get("duplicates")


def test_a_broker_that_is_not_there_is_named(start_server, run_locust):
    mqtt = ("--transport", "mqtt", "--mqtt-host", "127.0.0.1", "--mqtt-port", "1")
    code, output, _ = run_locust("push", start_server(), *PUSH, *mqtt)
    assert code == 1
    assert "MQTT at 127.0.0.1:1" in output and "--mqtt-host" in output and "Traceback" not in output


SSE = b': hello\n\nid: 17\nevent: recovery\ndata: {"after": 17}\n\nid: 18\nevent: message\ndata: {"a":\ndata:  "\xc3\xa9"}\r\n\r\n'
FRAME = (
    '<!doctype html><body><!--   -->\n<div hidden data-event="heartbeat"></div>\n'
    '<div hidden data-event="message" data-id="18" data-json="{&quot;a&quot;: &quot;é&quot;}"></div>\n'
).encode()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_events_are_found_however_the_bytes_are_cut(size):
    events, frames = EventStream(), FrameDocument()
    of_stream = [e for at in range(0, len(SSE), size) for e in events.feed(SSE[at : at + size])]
    of_frame = [e for at in range(0, len(FRAME), size) for e in frames.feed(FRAME[at : at + size])]
    message = Event("message", "18", {"a": "é"})
    assert of_stream == [Event("heartbeat", "", None), Event("recovery", "17", {"after": 17}), message]
    assert of_frame == [Event("heartbeat", "", None), message]


def test_a_refresh_page_gives_its_unread_messages_and_where_it_goes_on():
    page = RefreshPage(
        '<meta http-equiv="refresh" content="3;url=/rooms/a/refresh?after=2">'
        '<section class="room" id="room" data-recovered="true" data-last="2">'
        '<li class="message" data-id="1"><p class="text">old</p></li>'
        '<li class="message own unread" data-id="2"><p class="meta"><b>ada</b></p><p class="text">a &amp; b</p></li></section>'
    )
    assert (page.recovered, page.last, page.pause, page.address) == (True, 2, 3.0, "/rooms/a/refresh?after=2")
    assert page.messages == [{"id": 2, "text": "a & b"}]


def test_a_page_that_is_no_room_is_refused():
    with pytest.raises(ValueError, match="no room that refreshes"):
        RefreshPage("<html><h1>Log in</h1></html>")
