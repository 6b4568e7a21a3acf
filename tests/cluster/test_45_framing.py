"""Where a request ends, and who says what it is: raw bytes that two parsers might read differently.

Each hides a request for a path with a token. Whatever the answer, no application server may have seen that path, and
no connection may give more answers than requests were sent. nginx → uWSGI is reached by a page, nginx → Daphne by the
WebSocket path, which answers plain requests as well.
"""

import re
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from helpers import until

BEHIND = {"uwsgi": "/accounts/login/", "daphne": "/ws/notifications/"}
QUIET_SECONDS = 1.0  # nothing came for so long: there is no further answer
HIDDEN = "GET /{hidden} HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED_END = "0\r\n\r\n"


def post(*headers, body="", end="\r\n"):
    lines = ["POST {path} HTTP/1.1", "Host: localhost", "Origin: {origin}", *headers, "", ""]
    return end.join(lines) + body


def get(*headers, end="\r\n"):
    return end.join(["GET {path} HTTP/1.1", "Host: localhost", "Origin: {origin}", *headers, "", ""])


LENGTH = str(len(HIDDEN.format(hidden="x" * 32)))
CHUNKED_LENGTH = str(len(CHUNKED_END + HIDDEN.format(hidden="x" * 32)))
# Name -> the bytes; one answer each, and the connection may be closed.
REFUSED = {
    "CL.TE": post(f"Content-Length: {CHUNKED_LENGTH}", "Transfer-Encoding: chunked", body=CHUNKED_END + HIDDEN),
    "TE.CL": post("Transfer-Encoding: chunked", "Content-Length: 4", body=f"{int(LENGTH):x}\r\n{HIDDEN}\r\n0\r\n\r\n"),
    "TE.TE, the second unknown": post("Transfer-Encoding: chunked", "Transfer-Encoding: cow", body=CHUNKED_END + HIDDEN),
    "TE.TE, twice chunked": post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=CHUNKED_END + HIDDEN),
    "TE with a list": post("Transfer-Encoding: identity, chunked", body=CHUNKED_END + HIDDEN),
    "TE that is not known": post("Transfer-Encoding: xchunked", f"Content-Length: {CHUNKED_LENGTH}", body=CHUNKED_END + HIDDEN),
    "TE, a tab before chunked, and a length": post("Transfer-Encoding:\tchunked", "Content-Length: 3", body=CHUNKED_END + HIDDEN),
    "TE with a space before the colon": post("Transfer-Encoding : chunked", f"Content-Length: {CHUNKED_LENGTH}", body=CHUNKED_END + HIDDEN),
    "two lengths that differ": post("Content-Length: 0", f"Content-Length: {LENGTH}", body=HIDDEN),
    "two lengths that agree": post(f"Content-Length: {LENGTH}", f"Content-Length: {LENGTH}", body=HIDDEN),
    "a list of lengths": post(f"Content-Length: 0, {LENGTH}", body=HIDDEN),
    "a length with a sign": post(f"Content-Length: +{LENGTH}", body=HIDDEN),
    "a negative length": post("Content-Length: -1", body=HIDDEN),
    "a length in hexadecimal": post("Content-Length: 0x10", body=HIDDEN),
    "a length that overflows": post("Content-Length: 99999999999999999999", body=HIDDEN),
    "a chunk size that is no number": post("Transfer-Encoding: chunked", body="zz\r\n" + HIDDEN),
    "a chunk size that overflows": post("Transfer-Encoding: chunked", body="fffffffffffffffff\r\n" + HIDDEN),
    "a NUL in a header": get("X-Nul: a\0b"),
    "a NUL in the path": "GET {path}\0/{hidden} HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a control byte in the path": "GET {path}\x01{hidden} HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two hosts": get("Host: attacker.example"),
    "no host": "GET /{hidden} HTTP/1.1\r\n\r\n",
    "a host with a space": "GET /{hidden} HTTP/1.1\r\nHost: local host\r\n\r\n",
    "a method with a space before it": " GET /{hidden} HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an unknown version": "GET /{hidden} HTTP/3.7\r\nHost: localhost\r\n\r\n",
}
# What nginx reads in one way and writes anew: the servers behind it see one clean request.
CLEANED = {
    "bare line feeds": get("X-Bare: 1", end="\n"),
    "a folded header that would be a length": get("X-Folded: a", f" Content-Length: {LENGTH}"),
    "a length under another name": get(f"Content_Length: {LENGTH}", "Transfer_Encoding: chunked"),
    "a bare carriage return in a header": get(f"X-Return: a\rContent-Length: {LENGTH}"),
    "a body that is a request": post(f"Content-Length: {LENGTH}", body=HIDDEN),
    "chunks that are a request": post("Transfer-Encoding: chunked", body=f"{int(LENGTH):x}\r\n{HIDDEN}\r\n0\r\n\r\n"),
    "an upgrade that is none": get("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"),
}
INJECTED = {
    name: value
    for name in (
        "UWSGI_FILE",
        "UWSGI-FILE",
        "UWSGI_MODULE",
        "Uwsgi-Setenv",
        "SCRIPT_NAME",
        "Script-Name",
        "REMOTE_USER",
        "Remote-User",
        "HTTPS",
    )
    for value in ["/{hidden}"]
} | {"X_Forwarded_For": "203.0.113.77", "X_REQUEST_ID": "{hidden}", "Daphne_Root_Path": "/{hidden}"}


def answers(deployed, request):
    """Every status that one connection gives."""
    said = b""
    with (
        socket.create_connection(("localhost", deployed.port), timeout=15) as plain,
        deployed.trust.wrap_socket(plain, server_hostname="localhost") as tls,
        suppress(TimeoutError, ConnectionError),
    ):
        tls.sendall(request.encode("latin1"))
        while part := tls.recv(65536):
            said += part
            tls.settimeout(QUIET_SECONDS)
    return [int(status) for status in re.findall(rb"(?:^|\n)HTTP/1\.[01] (\d{3}) ", said)]


@pytest.fixture(scope="module")
def outcome(deployed):
    """{(server, name): (statuses, token)} of every case, and what the app hosts' journals say of the tokens."""
    jobs = {(server, name): secrets.token_hex(16) for server in BEHIND for name in {**REFUSED, **CLEANED}}

    def run(job):
        server, name = job
        text = {**REFUSED, **CLEANED}[name]
        for place, value in {"path": BEHIND[server], "hidden": jobs[job], "origin": deployed.url}.items():
            text = text.replace("{" + place + "}", value)
        return answers(deployed, text)

    with ThreadPoolExecutor(8) as pool:
        statuses = dict(zip(jobs, pool.map(run, jobs), strict=True))
    journals = "".join(deployed.on(host, "sudo journalctl --since -180s -o cat")[1] for host in ("app1", "app2"))
    return {job: (statuses[job], jobs[job] in journals) for job in jobs}


@pytest.mark.parametrize("server", BEHIND)
@pytest.mark.parametrize("name", REFUSED)
def test_what_can_be_read_in_two_ways_is_refused_at_the_edge(outcome, server, name):
    statuses, seen = outcome[server, name]
    assert not seen, "the hidden request reached an application server"
    assert statuses in ([400], [413], [421], [501], [505], []), statuses


@pytest.mark.parametrize("server", BEHIND)
@pytest.mark.parametrize("name", CLEANED)
def test_what_nginx_reads_in_one_way_is_one_request_behind_it(outcome, server, name):
    statuses, seen = outcome[server, name]
    assert not seen, "the hidden request reached an application server"
    assert len(statuses) == 1 and statuses[0] < 500, statuses


@pytest.mark.parametrize("server", BEHIND)
def test_a_header_cannot_become_a_variable_of_the_server(deployed, server):
    token = secrets.token_hex(16)
    injected = [f"{name}: {value}" for name, value in INJECTED.items()]
    text = get(*injected).replace("{path}", f"{BEHIND[server]}?{token}").replace("{hidden}", token).replace("{origin}", deployed.url)
    (status,) = answers(deployed, text)
    assert status < 500
    for host in ("app1", "app2"):
        said = deployed.on(host, "sudo journalctl --since -30s -o cat")[1]
        assert "203.0.113.77" not in said
        assert f"/{token}" not in said


def test_the_servers_still_answer(deployed, outcome):
    assert outcome
    with deployed.browser() as browser:
        assert browser.get("/readyz").status_code == 200


def test_these_tests_see_a_request_that_gets_through(deployed):
    """Two requests on one connection are legitimate: both are answered, and the second one is seen behind the edge."""
    token = secrets.token_hex(16)
    text = get().replace("{path}", BEHIND["uwsgi"]).replace("{origin}", deployed.url) + HIDDEN.replace("{hidden}", token)
    assert answers(deployed, text) == [200, 404]
    assert until(lambda: any(token in deployed.on(host, "sudo journalctl --since -60s -o cat")[1] for host in ("app1", "app2")), 10)
