"""Publishes into a room through the edge, with nothing but Python's standard library: it is sent to a host as it is.

Standard input: a line of JSON (`Order`), then a line for each step. Standard output: lines of JSON.
Each message has a key; what was not answered is sent again with the same key, and so is every REPEAT_EACHth that was.
"""

import http.client
import json
import socket
import ssl
import sys
import time
from urllib.parse import urlencode

TIMEOUT = 15  # seconds for one answer
PATIENCE = 60  # seconds until a message that is not taken is given up
PAUSE = 0.25
REPEAT_EACH = 25
SAY_EACH = 1.0


class GivenUp(Exception):
    """A message was not taken in time, or was refused for good."""


class Edge:
    """One connection to the edge at a time, opened again when it fails."""

    def __init__(self, order):
        self.order, self.connection, self.cookies = order, None, {order["cookie"]: order["session"]}
        self.tls = ssl.create_default_context(cadata=order["ca"])
        self.origin = f"https://{order['name']}:{order['port']}"

    def ask(self, method, path, fields=None):
        """Return (status, body). Raises OSError or http.client.HTTPException."""
        try:
            if self.connection is None:
                self.open()
            headers = {
                "Host": f"{self.order['name']}:{self.order['port']}",
                "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
                "Referer": self.origin + "/",
            }
            if fields:
                token = next(value for name, value in self.cookies.items() if name.endswith("csrftoken"))
                headers |= {"X-CSRFToken": token, "Content-Type": "application/x-www-form-urlencoded"}
            self.connection.request(method, path, urlencode(fields) if fields else None, headers)
            answer = self.connection.getresponse()
            body = answer.read()
        except BaseException:
            self.close()
            raise
        for header in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies[name.strip()] = value
        if answer.will_close:
            self.close()
        return answer.status, body

    def open(self):
        # By address: a host need not know the edge's name, but the certificate and nginx go by it.
        plain = socket.create_connection((self.order["address"], self.order["port"]), timeout=TIMEOUT)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = http.client.HTTPSConnection(self.order["name"], self.order["port"])
        self.connection.sock = self.tls.wrap_socket(plain, server_hostname=self.order["name"])

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Publisher:
    def __init__(self, order):
        self.order, self.edge = order, Edge(order)
        self.path = f"/rooms/{order['room']}/messages"
        self.retries = self.repeats = self.wrong_repeats = 0
        self.stored = []  # id of each message, in the order of publishing

    def enter(self):
        """Get a CSRF token, and make the room if that is ours to do."""
        status, _ = self.edge.ask("GET", "/rooms/")
        if status != 200:
            raise GivenUp(f"GET /rooms/ was answered with {status}, expected 200")
        if self.order["make_room"]:
            status, _ = self.edge.ask("POST", "/rooms/", {"name": self.order["room"]})
            if status != 302:
                raise GivenUp(f"POST /rooms/ was answered with {status}, expected 302")

    def publish(self, text, key):
        """Return the id under which a message is stored, however often it has to be sent."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                status, body = self.edge.ask("POST", self.path, {"text": text, "key": key})
                if status in (200, 201):
                    return json.loads(body)["id"]
                why = f"status {status}: {body[:200].decode('utf-8', 'replace')}"
                if status < 500 and status != 429:
                    raise GivenUp(why)
            except (OSError, http.client.HTTPException) as error:
                why = repr(error)
            if time.monotonic() > until:
                raise GivenUp(f"not taken within {PATIENCE} s; the last answer: {why}")
            self.retries += 1
            time.sleep(PAUSE)

    def run(self):
        begun, said = time.monotonic(), 0.0
        for number in range(1, self.order["count"] + 1):
            if (pause := begun + (number - 1) / self.order["rate"] - time.monotonic()) > 0:
                time.sleep(pause)
            text = f"{self.order['publisher']} {number} {time.time():.6f}"
            key = f"{self.order['publisher']}-{number}"
            self.stored.append(self.publish(text, key))
            if number % REPEAT_EACH == 0:
                self.repeats += 1
                self.wrong_repeats += self.publish(text, key) != self.stored[-1]
            if time.monotonic() - said >= SAY_EACH:
                said = time.monotonic()
                say(published=number)
        status, body = self.edge.ask("GET", self.path + "?after=0&limit=1")
        newest = json.loads(body)["newest"] if status == 200 else None
        say(
            published=len(self.stored), done=True, stored=self.stored, newest=newest,
            retries=self.retries, repeats=self.repeats, wrong_repeats=self.wrong_repeats,
        )  # fmt: skip


def say(**what):
    print(json.dumps(what), flush=True)


def main():
    publisher = Publisher(json.loads(sys.stdin.readline()))
    try:
        publisher.enter()
        say(ready=True, clock=time.time())
        if sys.stdin.readline().strip() == "go":
            publisher.run()
    except (GivenUp, OSError, http.client.HTTPException) as failure:
        say(failed=f"{publisher.order['publisher']}: {failure or repr(failure)}")


if __name__ == "__main__":
    main()
