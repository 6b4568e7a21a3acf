"""A reader over MQTT, packet by packet: what its broker repeats is dropped, what is missing is asked for."""

import json
from types import SimpleNamespace

import pytest
from paho.mqtt.client import MQTTMessage

from loadtests.users.messages import Sequence
from loadtests.users.mqtt import MqttLine
from loadtests.users.recorder import RECORDER


class Reader:
    """Takes messages as the real one does, and notes their ids."""

    def __init__(self):
        options = SimpleNamespace(load_run="run", mqtt_user="sensor")
        self.user = SimpleNamespace(options=options, number=1, report=lambda *_, error: self.problems.append(error))
        self.room, self.place, self.sequence = "a", 0, Sequence(17)
        self.got, self.problems = [], []

    def received(self, message, at):
        if self.sequence.take(message["id"], at):
            self.got.append(message["id"])


@pytest.fixture
def line():
    RECORDER.reset()
    RECORDER.open()
    made = MqttLine(Reader())
    asked = []
    made.client = SimpleNamespace(publish=lambda topic, payload, qos: asked.append((topic, json.loads(payload)["after"])))
    made.asked = asked
    yield made
    RECORDER.reset()


def say(line, topic, frame, *, retain=False, dup=False):
    message = MQTTMessage(topic=topic.encode())
    message.payload, message.retain, message.dup = json.dumps(frame).encode(), retain, dup
    line._on_message(None, None, message)


def live(line, number, **flags):
    say(line, line.topic, {"type": "message", "id": number}, **flags)


def answer(line, **frame):
    say(line, line.reply, frame)


def test_it_starts_from_what_it_has_and_takes_what_comes_meanwhile_after_that(line):
    line._on_subscribe(None, None, 1, [], None)
    assert line.asked == [("rooms/a/after/sensor", 17)]
    live(line, 19, retain=True)
    live(line, 20)
    answer(line, type="subscribed", after=17, recovered=True, oldest=1, newest=19)
    answer(line, type="message", id=18)
    answer(line, type="message", id=19)
    assert not line.opened.is_set()
    answer(line, type="end", after=19, newest=19)
    assert line.opened.is_set()
    assert line.reader.got == [18, 19, 20]
    assert not RECORDER.counters["lost"] and not RECORDER.counters["duplicates"]


def test_a_gap_is_asked_for_and_only_what_never_comes_is_lost(line):
    live(line, 18)
    live(line, 21)
    assert line.asked == [("rooms/a/after/sensor", 18)]
    answer(line, type="message", id=19)
    answer(line, type="end", after=19, newest=19)
    assert line.reader.got == [18, 19, 21]
    assert RECORDER.counters["lost"] == 1


def test_what_the_broker_says_again_is_no_duplicate_unless_it_hides_that(line):
    live(line, 18)
    live(line, 18, dup=True)
    live(line, 17, retain=True)
    assert not RECORDER.counters["duplicates"]
    live(line, 18)
    assert RECORDER.counters["duplicates"] == 1
    assert line.reader.got == [18]


def test_a_history_that_does_not_reach_back_and_a_strange_frame_are_told(line):
    answer(line, type="subscribed", after=99, recovered=False, oldest=90, newest=99)
    say(line, line.topic, ["no", "message"])
    assert line.reader.problems[0] == "the history does not reach back"
    assert "not a frame of the protocol" in line.reader.problems[1]
