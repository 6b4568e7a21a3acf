"""A thing that publishes readings, with nothing but Python's standard library: MQTT 3.1.1, QoS 1, TLS.

`python3 sensor.py` reads what it needs as JSON from standard input, so that no password stands on a command line:
    {"host": …, "port": …, "ca": PEM, "user": …, "password": …, "room": …, "count": 20, "pause": 1}
"""

import json
import math
import random
import socket
import ssl
import struct
import sys
import time

PUBACK_BYTES = 4


def text(value):
    data = value.encode()
    return struct.pack("!H", len(data)) + data


def packet(kind, body):
    length, size = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        size.append(digit | (128 if length else 0))
        if not length:
            return bytes([kind]) + bytes(size) + body


class Publisher:
    """Publishes and waits for acknowledgements; at most `window` messages are on their way.

    `ca` (a PEM text) turns TLS on.
    """

    def __init__(self, host, port, name, *, user=None, password=None, ca=None, window=100, keepalive=0):
        self.window, self.last, self.unanswered, self.rest = window, 0, 0, b""
        self.socket = socket.create_connection((host, port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.log_in(host, name, user, password, ca, keepalive)
        except BaseException:
            self.socket.close()
            raise

    def log_in(self, host, name, user, password, ca, keepalive):
        if ca:
            self.socket = ssl.create_default_context(cadata=ca).wrap_socket(self.socket, server_hostname=host)
        credentials = text(user) + text(password) if user else b""
        flags = 0b1100_0010 if user else 0b10
        self.socket.sendall(packet(0x10, text("MQTT") + bytes([4, flags]) + struct.pack("!H", keepalive) + text(name) + credentials))
        answer = self.socket.recv(4)
        if answer[3:] != b"\0":
            raise ConnectionError(f"the broker refused {user or name}: {answer.hex() or 'it closed the connection'}")

    def publish(self, topic, payloads, rate=None):
        """Return the seconds until each is acknowledged. `rate` is messages a second; without it, as fast as possible."""
        begun = time.monotonic()
        for number, payload in enumerate(payloads):
            if rate and (pause := begun + number / rate - time.monotonic()) > 0:
                time.sleep(pause)
            while self.unanswered >= self.window:
                self.read()
            self.last = self.last % 65_535 + 1
            self.socket.sendall(packet(0x32, text(topic) + struct.pack("!H", self.last) + payload))
            self.unanswered += 1
        while self.unanswered:
            self.read()
        return time.monotonic() - begun

    def read(self):
        received = self.socket.recv(65_536)
        if not received:
            raise ConnectionError("the broker closed the connection")
        self.rest += received
        whole = len(self.rest) // PUBACK_BYTES  # the broker sends us nothing but PUBACKs
        self.unanswered -= whole
        self.rest = self.rest[whole * PUBACK_BYTES :]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with self.socket:
            self.socket.sendall(packet(0xE0, b""))
            self.socket.recv(1)  # until the broker has taken it, and closes


def readings(count):
    """A room's temperature: a slow wave and a little chance."""
    for number in range(count):
        yield f"{21 + 2 * math.sin(number / 10) + random.gauss(0, 0.1):.1f} °C"


def main():
    wanted = json.load(sys.stdin)
    topic = f"rooms/{wanted['room']}/publish/{wanted['user']}"
    run = f"{time.time_ns():x}"
    credentials = {name: wanted[name] for name in ("user", "password", "ca")}
    with Publisher(wanted["host"], wanted["port"], "demo-sensor", **credentials) as publisher:
        for number, reading in enumerate(readings(wanted["count"])):
            # The key makes a reading that is sent twice appear once.
            publisher.publish(topic, [json.dumps({"text": reading, "key": f"{run}-{number}"}).encode()])
            print(f"{topic}  {reading}", flush=True)
            time.sleep(wanted["pause"])


if __name__ == "__main__":
    main()
