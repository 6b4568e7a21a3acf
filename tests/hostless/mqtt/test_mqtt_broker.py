"""Mosquitto with the settings, users and access list that the data host gets, really started."""

import os
import queue
import re
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from paho.mqtt.client import CallbackAPIVersion, Client

from bench import services
from conftest import ROOT
from sensor import Publisher

# What `tests/run mqtt` had rendered, as the builder container sees it and as the controller does.
RENDERED = next((folder for folder in (Path("/build/test-broker"), ROOT / "build/test-broker") if folder.is_dir()), None)
pytestmark = pytest.mark.skipif(
    RENDERED is None, reason="nothing is rendered: .venv/bin/python tests/hostless/mqtt/render.py build/test-broker"
)


@pytest.fixture(scope="module")
def rendered():
    """The folder with what Ansible rendered, and the passwords it made up."""
    return RENDERED


@pytest.fixture(scope="module")
def passwords(rendered):
    return {path.name.removeprefix("mqtt_"): path.read_text().strip() for path in (rendered / "secrets").glob("mqtt_*")}


@pytest.fixture(scope="module")
def broker(rendered):
    """The port of a broker with these files; the certificate is one for 127.0.0.1."""
    with services.folder(owner="mosquitto" if os.geteuid() == 0 else None) as place:
        request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-keyout", place / "mosquitto.key", "-out", place / "mosquitto.crt"]
        subprocess.run([*request, *names, *files], check=True, capture_output=True)
        for name in ("acl", "users"):
            (place / name).write_text((rendered / name).read_text())
        port = services.free_port()
        text = (rendered / "mosquitto.conf").read_text().replace("listener 8883 ", f"listener {port} ")
        text = re.sub("/etc/mosquitto/certs|/etc/mosquitto|/var/lib/mosquitto", str(place), text)
        for path in place.iterdir():
            path.chmod(0o644)
        (place / "checked.conf").write_text(text)
        with services.process([*services.as_user("mosquitto"), "mosquitto", "-c", place / "checked.conf"], port):
            yield port, (place / "mosquitto.crt").read_text()


def connect(broker, user, password, name=None):
    port, ca = broker
    return Publisher("127.0.0.1", port, name or f"test-{user}", user=user, password=password, ca=ca)


MARKER = "rooms/test-marker/messages"  # every user may read it, and the bridge write it
PATIENCE = 30  # seconds


class Listener:
    """Somebody who is subscribed to a topic, and to the marker after it: what was sent before a mark has come with it."""

    def __init__(self, broker, passwords, user, topic):
        port, ca = broker
        self.lines = queue.Queue()
        self.client = Client(CallbackAPIVersion.VERSION2, client_id="listener")
        self.client.username_pw_set(user, passwords[user])
        self.client.tls_set_context(ssl.create_default_context(cadata=ca))
        self.client.on_message = lambda _, __, message: self.lines.put(message.payload.decode())
        self.client.on_connect = lambda client, *_: client.subscribe([(topic, 1), (MARKER, 1)])
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.bridge = connect(broker, "bridge", passwords["bridge"], "marker")
        deadline = time.monotonic() + PATIENCE
        while self.lines.empty():  # not subscribed yet
            assert time.monotonic() < deadline, f"{user} is not subscribed to {topic}"
            self.bridge.publish(MARKER, [b"begin"])
            time.sleep(0.05)

    def heard(self):
        """The payloads until now."""
        self.bridge.publish(MARKER, [b"end"])
        lines = []
        while (line := self.lines.get(timeout=PATIENCE)) != "end":
            lines.append(line)
        return [line for line in lines if line != "begin"]

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()
        self.bridge.__exit__()


@pytest.fixture
def listen(broker, passwords):
    listeners = []

    def begin(user, topic):
        listeners.append(Listener(broker, passwords, user, topic))
        return listeners[-1].heard

    yield begin
    for listener in listeners:
        listener.close()


def test_the_users_are_let_in_with_their_passwords(broker, passwords):
    assert set(passwords) == {"bridge", "sensor"}
    for user, password in passwords.items():
        connect(broker, user, password).__exit__()


@pytest.mark.parametrize("user", ["sensor", "nobody", None])
def test_nobody_else_is_let_in(broker, user):
    with pytest.raises(ConnectionError, match="refused"):
        connect(broker, user, "wrong", name="nobody")


def test_without_tls_there_is_no_answer(broker):
    with pytest.raises((ConnectionError, TimeoutError, IndexError)):
        Publisher("127.0.0.1", broker[0], "plain")


def test_a_user_publishes_under_their_own_name_only(broker, passwords, listen):
    heard = listen("bridge", "rooms/+/publish/+")
    with connect(broker, "sensor", passwords["sensor"]) as sensor:
        sensor.publish("rooms/garden/publish/ada", [b"forged"])
        sensor.publish("rooms/garden/publish/sensor", [b"true"])
    assert heard() == ["true"]


@pytest.mark.parametrize("topic", ["rooms/garden/messages", "replies/sensor", "bridge/sync"])
def test_only_the_server_writes_what_comes_from_the_feed(broker, passwords, listen, topic):
    reader = "bridge" if topic.startswith("bridge") else "sensor"
    heard = listen(reader, topic)
    with connect(broker, "sensor", passwords["sensor"], "forger") as forger, connect(broker, "bridge", passwords["bridge"]) as bridge:
        forger.publish(topic, [b"forged"])
        bridge.publish(topic, [b"true"])
    assert heard() == ["true"]


@pytest.mark.parametrize("topic", ["rooms/+/publish/+", "rooms/+/after/+", "replies/+/#", "replies/ada/#", "bridge/#", "#", "$SYS/#"])
def test_a_user_reads_neither_requests_nor_the_answers_of_others(broker, passwords, listen, topic):
    heard = listen("sensor", topic)
    with connect(broker, "bridge", passwords["bridge"]) as bridge:
        for written in ("rooms/garden/publish/bridge", "rooms/garden/after/bridge", "replies/ada/x", "bridge/sync"):
            bridge.publish(written, [b"secret"])
    assert "secret" not in heard()


def test_passwords_lie_there_as_hashes(rendered, passwords):
    users = (rendered / "users").read_text()
    assert not any(password in users for password in passwords.values())
    assert all(re.fullmatch(r"\w+:\$7\$101\$[\w+/=]+\$[\w+/=]+", line) for line in users.splitlines())


def test_the_units_are_what_systemd_understands(rendered, tmp_path):
    unit = (rendered / "mqtt.service").read_text()
    assert "--broker mqtts://127.0.0.1:8883" in unit
    if not Path("/usr/bin/systemd-analyze").exists():
        pytest.skip("systemd-analyze is not here")
    runnable = re.sub(r"(User|Group)=app", r"\1=root", re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", unit))
    (tmp_path / "laurel-test.service").write_text(runnable)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", tmp_path / "laurel-test.service"], capture_output=True, text=True)
    assert "laurel-test.service" not in done.stderr, done.stderr
