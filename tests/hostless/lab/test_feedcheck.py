"""What the feed check counts, and what it makes of the wire: a check that overlooks something is worse than none."""

import json

import pytest

from loadtests.feedcheck.__main__ import faults, number, table
from loadtests.feedcheck.run import faults_of
from loadtests.feedcheck.tally import Tally, pause_after, percentile
from loadtests.feedcheck.transports import Ended, Events, Frame, Refresh, demand
from loadtests.lab.errors import LabError


def tally_of(*numbers):
    tally, said = Tally(counts_from=0), {}
    for id in numbers:
        tally.take(id, f"load {id} 1000.0", 1000.25, said)
    return tally


def test_what_came_once_and_in_order_is_no_fault():
    tally = tally_of(1, 2, 3)
    assert (tally.lost(3), tally.duplicated, tally.disordered, tally.last) == (0, 0, 0, 3)
    assert list(tally.delays) == [0.25] * 3


@pytest.mark.parametrize(
    ("numbers", "lost", "duplicated", "disordered"),
    [((1, 3), 1, 0, 0), ((1, 2, 2, 3), 0, 1, 0), ((1, 3, 2), 0, 0, 1), ((), 3, 0, 0), ((1, 3, 2, 3), 0, 1, 1)],
)
def test_each_fault_is_counted_as_what_it_is(numbers, lost, duplicated, disordered):
    tally = tally_of(*numbers)
    assert (tally.lost(3), tally.duplicated, tally.disordered) == (lost, duplicated, disordered)


def test_a_message_that_reads_otherwise_than_elsewhere_is_counted():
    said = {1: "load 1 1000.0"}
    tally = Tally()
    tally.take(1, "load 2 1000.0", 1001, said)
    assert tally.altered == 1


def test_what_was_sent_before_a_subscriber_came_has_no_delay():
    tally = Tally(counts_from=1000.1)
    tally.take(1, "load 1 1000.0", 1005, {})
    tally.take(2, "load 2 1000.2", 1005, {})
    assert [round(delay, 3) for delay in tally.delays] == [4.8]


def test_close_codes_are_honoured():
    middle = {"chance": lambda: 0.5}
    assert [pause_after(code, 1) for code in (4000, 4001, 4004)] == [None] * 3
    assert pause_after(4101, 1, **middle) >= 10
    assert pause_after(4201, 1, **middle) == pause_after(1012, 1, **middle) == 0.25
    assert pause_after(1012, 4, **middle) > pause_after(1012, 2, **middle) > 0.25  # at once, but not for ever
    assert pause_after(4103, 1, retry_after=5, **middle) == 5.5
    assert pause_after(0, 99, chance=lambda: 1) == 10


def test_events_are_read_as_the_server_writes_them():
    text = 'retry: 1000\n\nid: 17\nevent: recovery\ndata: {"after": 17}\n\n: still here\n\nid: 18\nevent: message\ndata: {"id": 18}\n\n'
    assert list(Events.parse(None, text)) == [("recovery", {"after": 17}), ("message", {"id": 18})]


def test_elements_of_a_document_are_read_as_the_server_writes_them():
    text = '<body>\n<div hidden data-event="message" data-id="18" data-json="{&quot;text&quot;: &quot;&lt;b&gt;&quot;}"></div>\n'
    assert list(Frame.parse(Frame, text + '<div hidden data-event="heartbeat"></div>\n')) == [("message", {"text": "<b>"})]


def test_a_page_gives_what_is_new_and_not_what_was_there_before():
    def item(number, classes):
        return f'<li class="{classes}" data-id="{number}">\n<p class="meta">…</p>\n<p class="text">{number} &lt;</p></li>'

    assert Refresh.message.findall(item(1, "message own") + item(2, "message own unread")) == [("2", "2 &lt;")]


def test_a_feed_that_does_not_recover_is_not_passed_over():
    with pytest.raises(Ended) as ended:
        demand(False, Tally(last=7))
    assert ended.value.code == 4000


class Publisher:
    def __init__(self, host, stored, wrong=0):
        self.name, self.said = f"the publisher on {host}", {"stored": stored, "wrong_repeats": wrong}


def texts(**by_host):
    return {str(id): f"{host} {number} 1.0" for host, ids in by_host.items() for number, id in enumerate(ids, 1)}


def test_a_store_that_is_right_has_no_faults():
    assert faults_of([Publisher("load", [1, 3]), Publisher("app2", [2, 4])], 4, 4, texts(load=[1, 3], app2=[2, 4])) == []


@pytest.mark.parametrize(
    ("load", "newest", "wrong", "read", "fault"),
    [
        ([1, 2], 3, 0, [1, 2], "newest is 3"),  # one was stored twice
        ([1, 1], 2, 0, [1, 2], "under 1 ids"),
        ([1, 2], 2, 1, [1, 2], "sent again"),
        ([2, 1], 2, 0, [2, 1], "not in its order"),
        ([1, 2], 2, 0, [2, 1], "it is message 1"),
    ],
)
def test_a_store_that_is_wrong_is_said(load, newest, wrong, read, fault):
    assert fault in " ".join(faults_of([Publisher("load", load, wrong)], newest, 2, texts(load=read)))


COUNTS = {"subscribers": 2, "received": 8, "lost": 0, "duplicated": 0, "disordered": 0, "altered": 0, "reconnects": 1}
ROW = {**COUNTS, "p50": 0.012, "p99": None, "ends": {}, "given_up": []}


def test_there_is_a_line_for_each_transport():
    head, line = table({"events": ROW}).splitlines()
    assert head.split()[:3] == ["transport", "readers", "received"]
    assert line.split() == ["Server-Sent", "Events", "2", "8", "0", "0", "0", "1", "12", "-"]


@pytest.mark.parametrize("change", [{"lost": 1}, {"duplicated": 1}, {"disordered": 1}, {"altered": 1}, {"given_up": ["status 404"]}])
def test_one_fault_is_enough(change):
    assert faults({"rows": {"poll": ROW}, "faults": []}) == []
    assert len(faults({"rows": {"poll": ROW | change}, "faults": []})) == 1


@pytest.mark.parametrize("text", ["x", "0", "-1", "20001", "1e3"])
def test_a_number_that_makes_no_sense_is_refused_with_what_is_expected(text, monkeypatch):
    monkeypatch.setenv("ROOM_EVENTS", text)
    with pytest.raises(LabError, match="expected a number from 30 to 20000, as in: make feed-check ROOM_EVENTS=2000"):
        number("ROOM_EVENTS")


def test_percentiles_are_values_that_were_seen():
    assert [percentile([1, 2, 3, 4], share) for share in (0, 0.5, 0.99)] == [1, 3, 4]
    assert percentile([], 0.5) is None
    assert json.dumps(percentile([], 0.5)) == "null"
