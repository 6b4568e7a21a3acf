"""The MQTT server against a real Mosquitto."""

import signal
import socket
import time

import pytest

from bench import services
from laurel_mqtt.inbox import Inbox


def payloads(events):
    return [event["payload"] for event in events]


def test_messages_reach_the_application_in_order_with_what_the_broker_says_of_them(start, publish):
    server = start()
    publish("one", "two", "three")
    first, *others = server.wait(3)
    assert payloads([first, *others]) == ["one", "two", "three"]
    assert (first["topic"], first["qos"], first["retain"], first["dup"]) == ("t/1", 1, False, False)


def test_what_is_not_acknowledged_comes_again_to_the_next_process(start, publish):
    first = start(environment={"HOLD": "1"})
    publish("one", "two")
    first.wait(2)
    assert first.stop() == 0
    second = start()
    again = second.wait(2)
    assert payloads(again) == ["one", "two"]
    assert all(event["dup"] for event in again)
    assert second.events[0] == {"type": "mqtt.connect", "connection": 1, "session_present": True}


def test_what_was_acknowledged_does_not_come_again(start, publish):
    first = start()
    publish("one")
    first.wait(1)
    first.settle()
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    publish("while away")
    assert payloads(start().wait(1)) == ["while away"]


def test_the_receive_maximum_bounds_what_waits_for_the_application(start, publish):
    server = start("--receive-maximum", "5", environment={"HOLD": "1"})
    publish(*map(str, range(20)))
    server.wait(5)
    time.sleep(0.5)
    assert len(server.wait(5)) == 5
    server.tell(send={"type": "mqtt.ack", "connection": 1, "mids": [server.wait(5)[0]["mid"]]})
    server.wait(6)


def test_qos_0_messages_that_nobody_takes_are_dropped_and_counted(start, broker):
    server = start("--queue-limit", "10", "--log-level", "INFO", environment={"HOLD": "1"})
    server.tell(read=False)
    other = start("--client-id", "other")
    for number in range(200):
        other.tell(send={"type": "mqtt.publish", "topic": "t/0", "payload": str(number), "qos": 0})
    server.logs("QoS 0 messages dropped")
    server.tell(read=True)
    assert len(server.wait(10)) < 200


def test_the_queue_limit_is_kept_and_counts_qos_0_messages_only():
    inbox = Inbox(limit=10)
    taken = [inbox.put({"type": "mqtt.message", "qos": number % 2, "mid": number}) for number in range(50)]
    assert (sum(taken), inbox.dropped, len(inbox)) == (35, 15, 35)


@pytest.mark.parametrize("qos", [0, 1])
def test_the_application_publishes(start, qos):
    server = start()
    server.tell(send={"type": "mqtt.publish", "topic": "t/own", "payload": "hello", "qos": qos})
    (event,) = server.wait(1)
    assert (event["topic"], event["payload"], event["qos"]) == ("t/own", "hello", qos)


def test_more_than_the_window_is_published_whole(start):
    server = start("--publish-window", "3")
    for number in range(50):
        server.tell(send={"type": "mqtt.publish", "topic": "t/own", "payload": str(number), "qos": 1})
    assert payloads(server.wait(50)) == [str(number) for number in range(50)]


def test_a_broker_that_restarts_is_found_again_with_the_session(start, publish):
    port = services.free_port()
    with services.mosquitto(port=port):
        server = start(url=f"mqtt://127.0.0.1:{port}")
    server.wait(1, "mqtt.disconnect")
    with services.mosquitto(port=port):
        server.wait(2, "mqtt.subscribed", seconds=15)
        assert server.events[-1]["connection"] >= 2


def test_a_broker_that_is_not_there_is_waited_for(start):
    port = services.free_port()
    server = start(url=f"mqtt://127.0.0.1:{port}", wait=False)
    server.wait(2, "mqtt.disconnect")
    with services.mosquitto(port=port):
        server.wait(1, "mqtt.subscribed")


def test_a_broker_that_does_not_answer_is_given_up_after_a_while(start):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = start("--connect-timeout", "0.5", url=f"mqtt://127.0.0.1:{silent.getsockname()[1]}", wait=False)
        server.wait(1, "mqtt.disconnect")


def test_closed_by_the_application_it_stays_away_until_it_is_opened_again(start):
    server = start()
    server.tell(send={"type": "mqtt.close"})
    server.wait(1, "mqtt.disconnect")
    time.sleep(1)
    assert len(server.wait(1, "mqtt.connect")) == 1
    server.tell(send={"type": "mqtt.open"})
    server.wait(2, "mqtt.connect")


def test_an_acknowledgement_of_an_earlier_connection_is_not_one_of_this(start, publish):
    server = start(environment={"HOLD": "1"})
    publish("one")
    (first,) = server.wait(1)
    server.tell(send={"type": "mqtt.close"})
    server.wait(1, "mqtt.disconnect")
    server.tell(send={"type": "mqtt.open"})
    again = server.wait(2)[1]
    assert (again["dup"], again["mid"]) == (True, first["mid"])
    server.tell(send={"type": "mqtt.ack", "connection": first["connection"], "mids": [first["mid"]]})
    time.sleep(0.3)
    server.stop()
    assert payloads(start().wait(1)) == ["one"]


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_without_an_error(start, signal_name):
    server = start()
    server.process.send_signal(getattr(signal, signal_name))
    assert server.process.wait(30) == 0
    assert server.events[-1] == {"type": "mqtt.shutdown"}


def test_an_application_that_fails_ends_it_with_an_error(start):
    server = start(wait=False, environment={"FAIL": "1"})
    assert server.process.wait(30) == 1
    assert "this application fails" in server.logs("exception")["exception"]


def test_an_event_that_is_not_known_is_an_error_that_names_those_that_are(start):
    server = start()
    server.tell(send={"type": "mqtt.publsh"})
    time.sleep(0.5)
    assert server.stop() == 0  # raised where the application sent it, and there alone


def test_systemd_is_told(start, tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.settimeout(10)
        server = start(environment={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"})
        said = ""
        while "WATCHDOG=1" not in said or "Connected to" not in said:
            said += systemd.recv(1000).decode() + "\n"
        assert said.startswith("READY=1")
        server.stop()
        while "STOPPING=1" not in said:
            said += systemd.recv(1000).decode()
