"""Mosquitto with the settings, users and access list that the data host gets, really started."""

import json
import os
import queue
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest
import yaml

from bench import services
from conftest import ROOT
from sensor import Publisher

ANSIBLE = ROOT / "ansible"
VENV = ROOT / ".venv"
HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(not (VENV / "bin/ansible-playbook").exists(), reason="no environment of the controller: make doctor")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """The folder with what Ansible rendered, and the passwords it made up."""
    folder = tmp_path_factory.mktemp("broker")
    inventory = folder / "inventory"
    everyone = inventory / "group_vars" / "all"
    everyone.mkdir(parents=True)
    for role in ("mosquitto", "mqtt", "nginx"):
        (everyone / f"0-{role}.yml").symlink_to(ANSIBLE / f"roles/{role}/defaults/main.yml")
    for path in (ANSIBLE / "group_vars/all").glob("*.yml"):
        (everyone / f"1-{path.name}").symlink_to(path)
    hosts = yaml.safe_load((ANSIBLE / "inventories/local/hosts.yml").read_text())
    hosts["laurel"]["vars"] = {"ansible_host": "127.0.0.1", "systemd_private_users": True}
    (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))
    extra = {"laurel_root": str(ROOT), "output_dir": str(folder), "secrets_dir": str(folder / "secrets"), "pki_dir": str(folder)}
    done = subprocess.run(
        [VENV / "bin/ansible-playbook", "--inventory", inventory, "--extra-vars", json.dumps(extra), HERE / "render.yml"],
        env={
            **os.environ, "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"), "LC_ALL": "C.UTF-8",
            "ANSIBLE_FILTER_PLUGINS": str(ANSIBLE / "roles/mosquitto/filter_plugins"), "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        },
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


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

    def __init__(self, broker, tmp_path, passwords, user, topic):
        self.bridge = connect(broker, "bridge", passwords["bridge"], "marker")
        (tmp_path / "ca.crt").write_text(broker[1])
        command = [
            "mosquitto_sub",
            "-h",
            "127.0.0.1",
            "-p",
            str(broker[0]),
            "--cafile",
            tmp_path / "ca.crt",
            "-u",
            user,
            "-P",
            passwords[user],
        ]
        command += ["-t", topic, "-t", MARKER, "-q", "1"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=lambda: [self.lines.put(line.strip()) for line in self.process.stdout], daemon=True).start()
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
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.bridge.__exit__()


@pytest.fixture
def listen(broker, tmp_path, passwords):
    listeners = []

    def begin(user, topic):
        listeners.append(Listener(broker, tmp_path, passwords, user, topic))
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


def test_the_units_are_what_systemd_understands(rendered):
    unit = (rendered / "mqtt.service").read_text()
    assert "--broker mqtts://127.0.0.1:8883" in unit
    if not Path("/usr/bin/systemd-analyze").exists():
        pytest.skip("systemd-analyze is not here")
    runnable = re.sub(r"(User|Group)=app", r"\1=root", re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", unit))
    (rendered / "laurel-test.service").write_text(runnable)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", rendered / "laurel-test.service"], capture_output=True, text=True)
    assert "laurel-test.service" not in done.stderr, done.stderr
