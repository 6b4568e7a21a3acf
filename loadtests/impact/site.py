"""Where people go: the edge as they reach it, sessions of demo users, rooms."""

import json
import ssl
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from loadtests.lab.errors import LabError
from loadtests.lab.hosts import Hosts

ROOM_SECONDS = 40
USERS = 20  # whose sessions are dealt out: one user may hold so many connections only


@dataclass(frozen=True)
class Site:
    """Where they go, and as whom: `sessions` are dealt out in turn."""

    url: str  # https://host:port
    tls: ssl.SSLContext
    cookie: str
    sessions: tuple[str, ...]
    rooms: tuple[str, ...]  # slugs


def site_of(hosts: Hosts, rooms: int, users: int = USERS, kind: str = "impact") -> Site:
    """The edge as its users reach it, with sessions of demo users and rooms of this run's own."""
    sessions = json.loads(hosts.make_sessions(users))
    authority = hosts.inventory / "pki/ca.crt"
    tls = ssl.create_default_context(cafile=str(authority) if authority.is_file() else None)
    name = hosts.edge.variables.get("ansible_host", hosts.edge.name)
    url = f"https://{name}:{hosts.https_port()}"
    keys = tuple(entry["session"] for entry in sessions["sessions"])
    return Site(url, tls, sessions["cookie"], keys, make_rooms(url, tls, sessions["cookie"], keys[0], rooms, kind))


def make_rooms(url: str, tls: ssl.SSLContext, cookie: str, session: str, rooms: int, kind: str) -> tuple[str, ...]:
    """The slugs of rooms that are made through the form, as a person would."""
    began = int(time.time())
    agent = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls), Stay)

    def ask(path: str, csrf: str | None = None, **form: str) -> Any:
        cookies = f"{cookie}={session}" + (f"; {csrf}" if csrf else "")
        body = urllib.parse.urlencode(form).encode() if form else None
        try:
            return agent.open(urllib.request.Request(url + path, body, {"Cookie": cookies, "Referer": f"{url}/"}), timeout=ROOM_SECONDS)
        except OSError as error:
            raise LabError(f"no room can be made: /rooms/ says nothing within {ROOM_SECONDS} s ({error}); see: make status") from error

    token = next(value.partition(";")[0] for value in ask("/rooms/").headers.get_all("Set-Cookie") if "csrftoken" in value)
    slugs = []
    for number in range(rooms):
        answer = ask("/rooms/", token, csrfmiddlewaretoken=token.partition("=")[2], name=f"{kind} {began} {number}")
        if answer.status != 302:
            raise LabError(f"no room can be made: POST /rooms/ says {answer.status}. Is this checkout deployed? make deploy")
        slugs.append(answer.headers["Location"].rstrip("/").rpartition("/")[2])
    return tuple(slugs)


class Stay(urllib.request.HTTPErrorProcessor):
    """Every answer is an answer: a redirect is not followed, an error not raised."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response
