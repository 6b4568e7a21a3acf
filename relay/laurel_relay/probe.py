"""Asks a server for a page, the way nginx would: HTTP or the uwsgi protocol, over TCP or a Unix socket."""

import re
import socket
import struct

SECONDS = 10
LIMIT = 65536


def ask(protocol, address, path, host):
    """The status code and the beginning of the body, or (0, why there is no answer). `address` is (host, port) or a path."""
    try:
        with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as connection:
            connection.settimeout(SECONDS)
            connection.connect(address)
            connection.sendall(REQUESTS[protocol](path, host))
            answer = b""
            while len(answer) < LIMIT and (chunk := connection.recv(LIMIT)):
                answer += chunk
    except OSError as error:
        return 0, f"no answer ({error})"
    return parse(answer)


def parse(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.[01] (\d{3})", head)
    if not status:
        return 0, f"no HTTP answer, but {answer[:80]!r}"
    return int(status[1]), body[:300].decode(errors="replace").strip()


def http_request(path, host):
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "X-Forwarded-Proto: https", "X-Forwarded-For: 127.0.0.1", "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode()


def uwsgi_request(path, host):
    """One packet: modifier 0, the length, then each name and value with its length (little endian)."""
    variables = {
        "REQUEST_METHOD": "GET", "REQUEST_URI": path, "PATH_INFO": path, "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": host, "SERVER_PORT": "443", "HTTP_HOST": host, "REMOTE_ADDR": "127.0.0.1",
        "HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_FOR": "127.0.0.1",
    }  # fmt: skip
    body = b"".join(struct.pack("<H", len(word)) + word for pair in variables.items() for word in map(str.encode, pair))
    return struct.pack("<BHB", 0, len(body), 0) + body


REQUESTS = {"http": http_request, "uwsgi": uwsgi_request}
