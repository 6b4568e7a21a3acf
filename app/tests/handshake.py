"""Speaks the WebSocket handshake by hand, and shows what goes over the wire.

python -m tests.handshake https://localhost:8443 --ca ca.crt       prints the walk-through of docs/protocol.md
"""

import argparse
import base64
import hashlib
import os
import re
import secrets
import socket
import ssl
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.cookiejar import CookieJar
from urllib.parse import urlsplit

MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


def accept_of(key):
    """Return the Sec-WebSocket-Accept that proves that a server has read this Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1((key + MAGIC).encode()).digest()).decode()


@dataclass
class Exchange:
    request: str
    status: int
    headers: dict  # lower-case names
    head: str


def ask(address, path, headers, tls=None):
    """Send a GET with exactly these headers and return the Exchange; the body of the answer is not read."""
    url = urlsplit(address)
    request = "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {url.netloc}", *(f"{name}: {value}" for name, value in headers.items())])
    port = url.port or (443 if url.scheme == "https" else 80)
    with socket.create_connection((url.hostname, port), 10) as plain:
        wire = tls.wrap_socket(plain, server_hostname=url.hostname) if tls else plain
        wire.sendall((request + "\r\n\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            part = wire.recv(4096)
            if not part:
                break
            head += part
        if tls:
            wire.close()
    head = head.partition(b"\r\n\r\n")[0].decode("latin1")
    status, *lines = head.split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Exchange(request, int(status.split()[1]), fields, head)


def variants(origin, cookie):
    """Return {title: headers} of the handshakes worth looking at."""
    good = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Origin": origin,
        "Cookie": cookie,
    }

    def without(*names, **changed):
        return {name: changed.get(name.replace("-", "_"), value) for name, value in good.items() if name not in names}

    return {
        "As a browser asks": good,
        "A version that is not spoken": without(Sec_WebSocket_Version="12"),
        "No key": without("Sec-WebSocket-Key"),
        "No session": without("Cookie"),
        "A foreign origin": without(Origin="https://evil.example"),
        "A plain GET": {"Cookie": cookie},
    }


def sign_up(address, tls):
    """Make an account and return its Cookie header."""
    jar = CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPSHandler(context=tls), urllib.request.HTTPCookieProcessor(jar))
    page = f"{address}/accounts/signup/"
    token = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', browser.open(page).read().decode())[1]
    password = secrets.token_urlsafe(16)
    form = {"username": f"handshake-{secrets.token_hex(4)}", "password1": password, "password2": password, "csrfmiddlewaretoken": token}
    browser.open(urllib.request.Request(page, urllib.parse.urlencode(form).encode(), {"Referer": page}))
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar if "session" in cookie.name)


def main():
    parser = argparse.ArgumentParser(description="Print the WebSocket handshake as it goes over the wire.")
    parser.add_argument("address", help="such as https://localhost:8443")
    parser.add_argument("--ca", help="certificate authority to trust")
    parser.add_argument("--path", default="/ws/notifications/")
    options = parser.parse_args()
    tls = ssl.create_default_context(cafile=options.ca)
    cookie = sign_up(options.address, tls)
    for title, headers in variants(options.address, cookie).items():
        seen = ask(options.address, options.path, headers, tls)
        request = re.sub("(session[^=]*)=[^\r\n]+", r"\1=…", seen.request)
        print(f"#### {title}\n\n```\n{request}\n\n{seen.head}\n```\n".replace("\r", ""))
        if seen.status == 101:
            print(f"`{accept_of(headers['Sec-WebSocket-Key'])}` is base64(sha1(key + `{MAGIC}`)).\n")


if __name__ == "__main__":
    main()
