"""A real Mosquitto on loopback, and the MQTT server in a process of its own before an application made for tests."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "mqtt"))

pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not here: pip install --require-hashes -r mqtt/requirements.txt")

from bench import services  # noqa: E402
from sensor import Publisher  # noqa: E402

PATIENCE = 30  # seconds: what has to come comes, on a busy machine a little later


class Server:
    """A process of the MQTT server; what its application prints comes as JSON lines."""

    def __init__(self, url, *flags, environment=None):
        command = [sys.executable, "-m", "laurel_mqtt", "mqtt_application:application", "--broker", url, "--backoff-limit", "0.5", *flags]
        paths = os.pathsep.join([str(ROOT / "mqtt"), str(Path(__file__).parent)])
        self.process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": paths, **(environment or {})},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.events, self.log = [], []
        for stream, lines in ((self.process.stdout, self.events), (self.process.stderr, self.log)):
            threading.Thread(target=self.collect, args=(stream, lines), daemon=True).start()

    @staticmethod
    def collect(stream, lines):
        for line in iter(stream.readline, ""):
            lines.append(json.loads(line) if line.startswith("{") else {"message": line})

    def wait(self, number, kind="mqtt.message", seconds=PATIENCE):
        """Return the events of a kind when there are so many."""
        deadline = time.monotonic() + seconds
        while len(found := [event for event in list(self.events) if event["type"] == kind]) < number:
            assert time.monotonic() < deadline, f"{len(found)} of {number} {kind} in {seconds} s; {self.log[-3:]}"
            assert self.process.poll() is None or kind == "ended", self.log[-5:]
            time.sleep(0.02)
        return found

    def logs(self, text, seconds=PATIENCE):
        """Return the first line of the log that holds a text, when there is one."""
        deadline = time.monotonic() + seconds
        while not (found := [line for line in list(self.log) if text in json.dumps(line)]):
            assert time.monotonic() < deadline, f"no {text!r} in the log: {self.log[-5:]}"
            time.sleep(0.02)
        return found[0]

    def settle(self):
        """Return when the broker has had all that this server's application has sent it until now."""
        number = len([event for event in list(self.events) if event.get("topic") == "t/settled"]) + 1
        self.tell(send={"type": "mqtt.publish", "topic": "t/settled", "payload": "", "qos": 0})
        deadline = time.monotonic() + PATIENCE
        while len([event for event in list(self.events) if event.get("topic") == "t/settled"]) < number:
            assert time.monotonic() < deadline, self.log[-5:]
            time.sleep(0.02)

    def tell(self, **order):
        """Have the application do something: see mqtt_application.py."""
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(15)
        finally:
            self.process.kill()
            for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
                with suppress(BrokenPipeError):
                    stream.close()


@pytest.fixture
def broker():
    with services.mosquitto() as port:
        yield port


@pytest.fixture
def start(broker):
    """Start a server and wait until it is subscribed."""
    started = []

    def begin(*flags, wait=True, url=None, **options):
        server = Server(url or f"mqtt://127.0.0.1:{broker}", *flags, **options)
        started.append(server)
        if wait:
            server.wait(1, "mqtt.subscribed")
        return server

    yield begin
    for server in started:
        server.stop()


@pytest.fixture
def publish(broker):
    def send(*payloads, topic="t/1"):
        with Publisher("127.0.0.1", broker, "test-publisher") as publisher:
            publisher.publish(topic, [payload.encode() for payload in payloads])

    return send
