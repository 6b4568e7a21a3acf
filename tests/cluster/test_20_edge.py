"""What the edge serves, whatever the topology."""

import gzip
import json
import re
import secrets
import socket
import ssl

import httpx
import pytest
import yaml
from websockets.exceptions import InvalidStatus

from helpers import until


@pytest.fixture
def stylesheet(deployed):
    """The path of the stylesheet, as the page names it."""
    with deployed.browser() as browser:
        return re.search(r'href="(/static/laurel\.[0-9a-f]{12}\.css)"', browser.get("/").text)[1]


def raw(deployed, path, encoding):
    """A file as it was sent, not decompressed."""
    with deployed.browser() as browser, browser.stream("GET", path, headers={"Accept-Encoding": encoding}) as answer:
        return answer, b"".join(answer.iter_raw())


def test_a_static_file_comes_compressed_as_the_client_likes_it(deployed, stylesheet):
    plain, plain_body = raw(deployed, stylesheet, "identity")
    zipped, zipped_body = raw(deployed, stylesheet, "gzip")
    brotli, brotli_body = raw(deployed, stylesheet, "br, gzip")
    assert [answer.headers.get("content-encoding") for answer in (plain, zipped, brotli)] == [None, "gzip", "br"]
    assert gzip.decompress(zipped_body) == plain_body
    assert len(brotli_body) < len(zipped_body) < len(plain_body)
    assert all(answer.headers["content-type"] == "text/css" for answer in (plain, zipped, brotli))


def test_a_hashed_name_is_kept_for_ever_and_a_plain_one_is_not(deployed, stylesheet):
    with deployed.browser() as browser:
        assert browser.get(stylesheet).headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "cache-control" not in browser.get("/static/laurel.css").headers


def test_a_static_file_that_is_not_there_is_404_of_nginx(deployed):
    with deployed.browser() as browser:
        answer = browser.get("/static/nothing.0123456789ab.css")
    assert answer.status_code == 404
    assert "x-request-id" not in answer.headers


def test_nothing_beside_the_static_files_can_be_had(deployed):
    with deployed.browser() as browser:
        for path in ("/static/../etc/passwd", "/static/%2e%2e/%2e%2e/etc/passwd", "/static../etc/passwd", "/static/.releases/"):
            assert browser.get(path).status_code in (400, 403, 404), path


def test_http_2_is_spoken(deployed):
    with deployed.browser() as browser:
        assert browser.get("/").http_version == "HTTP/2"


def test_plain_http_leads_to_https(deployed):
    port = deployed.addresses["vars"]["cluster_http_port"]
    answer = httpx.get(f"http://localhost:{port}/rooms/?a=1", trust_env=False)
    assert (answer.status_code, answer.headers["location"]) == (308, f"{deployed.url}/rooms/?a=1")


def test_a_name_that_is_not_served_reaches_no_application(deployed):
    with deployed.browser() as browser:
        answer = browser.get("/", headers={"Host": "attacker.example"})
    assert answer.status_code == 421
    assert "x-request-id" not in answer.headers


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_has_forward_secrecy(deployed, version):
    context = deployed.trust
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("localhost", deployed.port)) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
        assert tls.cipher()[0].startswith(("ECDHE-", "TLS_"))


def test_ready_says_what_it_looked_at(deployed):
    with deployed.browser() as browser:
        answer = browser.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"


def journal(deployed, request_id):
    """Every line of the app hosts' journals with this id."""
    lines = [deployed.on(host, f"sudo journalctl --since -60s -o cat | grep -F {request_id}")[1] for host in ("app1", "app2")]
    return "".join(lines)


def test_the_id_of_a_request_is_in_every_log(deployed):
    with deployed.browser() as browser:
        answer = browser.get("/no-such-page", headers={"X-Request-ID": "chosen-by-the-client"})
    request_id = answer.headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", request_id)
    assert until(lambda: deployed.on("edge", f"sudo grep -F {request_id} /var/log/nginx/access.log")[0] == 0, 10)
    said = journal(deployed, request_id)
    assert '"logger":"uwsgi"' in said
    assert '"logger": "django.request"' in said


def test_the_id_of_a_websocket_is_in_every_log(deployed, ada):
    with pytest.raises(InvalidStatus) as refused:
        ada.open("/ws/notifications/", additional_headers={})  # nobody is logged in
    assert refused.value.response.status_code == 403
    found = until(
        lambda: re.findall(
            r'"request_id":"(\w+)".*"path":"/ws/notifications/"', deployed.on("edge", "sudo tail -50 /var/log/nginx/access.log")[1]
        ),
        10,
    )
    assert '"logger": "daphne.access"' in journal(deployed, found[-1])


def test_a_plain_get_of_a_websockets_address_is_told_what_it_speaks(deployed):
    with deployed.browser() as browser:
        answer = browser.get("/ws/notifications/")
    assert answer.status_code == 426  # no Origin comes with it, and the gate is for handshakes alone
    assert answer.text == "This address speaks WebSocket.\n"


def test_a_websocket_of_another_page_is_refused_at_the_edge_and_logged_with_the_setting(deployed, ada):
    origin = f"https://{secrets.token_hex(8)}.attacker.example"
    with pytest.raises(InvalidStatus) as refused:
        ada.open("/ws/notifications/", origin=origin)
    assert refused.value.response.status_code == 403
    assert b"application_origins" in refused.value.response.body
    line = until(lambda: deployed.on("edge", f"sudo grep -F {origin} /var/log/nginx/refused.log")[1], 10)
    assert "application_origins" in json.loads(line)["fix"]
    assert json.loads(line)["request_id"] not in journal(deployed, json.loads(line)["request_id"])


def test_a_websocket_of_another_page_is_refused_by_the_application_too(deployed):
    """Past nginx's gate: asked from the edge itself, which is the only host that reaches Daphne."""
    origin = f"https://{secrets.token_hex(8)}.attacker.example"
    lines = [
        "GET /ws/notifications/ HTTP/1.1", f"Host: localhost:{deployed.port}", f"Origin: {origin}", "Upgrade: websocket",
        "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", "",
    ]  # fmt: skip
    hello = "\\r\\n".join(lines)
    script = f"exec 3<>/dev/tcp/{deployed.address('app1')}/9001; printf '{hello}' >&3; timeout 5 head -1 <&3"
    assert " 403 " in deployed.on("edge", f'bash -c "{script}"')[1]
    line = until(lambda: deployed.on("app1", f"sudo journalctl --since -60s -o cat | grep -F {origin}")[1], 10)
    assert '"logger": "project.origin"' in line
    assert "CSRF_TRUSTED_ORIGINS" in line


SAFE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def test_every_answer_has_the_safe_headers_once(deployed, stylesheet):
    with deployed.browser() as browser:
        for path in ("/", stylesheet, "/static/laurel.css", "/static/nothing.css", "/no-such-page", "/healthz"):
            headers = browser.get(path).headers
            assert {name: headers.get(name) for name in SAFE} == SAFE, path
            assert headers["server"] == "nginx"
            assert "strict-transport-security" not in headers


@pytest.fixture
def plain(deployed):
    """A client of HTTP/1.1, where a refusal of a header comes as an answer."""
    with httpx.Client(base_url=deployed.url, verify=deployed.trust, trust_env=False, timeout=15) as client:
        yield client


@pytest.mark.parametrize("host", ["localhost", "attacker.example"])
def test_headers_that_are_too_large_are_431(plain, host):
    for headers in ({"X-Long": "a" * 9000}, {f"X-Long-{i}": "a" * 7000 for i in range(6)}):
        answer = plain.get("/", headers={"Host": host, **headers})
        assert answer.status_code == 431
        assert "header" in answer.text


def test_what_the_edge_lets_in_fits_into_the_servers_buffer(plain):
    answer = plain.get("/healthz", headers={f"X-Long-{i}": "a" * 7000 for i in range(3)})
    assert answer.status_code == 200, answer.text


def test_a_body_that_is_too_large_is_413(plain):
    answer = plain.post("/accounts/login/", content=bytes(9 * 2**20))
    assert answer.status_code == 413
    assert "larger than" in answer.text


def test_who_asks_too_much_is_told_when_to_come_back(deployed):
    """More than the burst at once, from one address; a page load, or an office that comes back, passes (limits.yml)."""
    limits = yaml.safe_load((deployed.root / "ansible/group_vars/all/limits.yml").read_text())["limits"]
    request = b"HEAD /static/laurel.css HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    said = b""
    for _ in range(2 + 4 * limits["requests_burst"] // 900):  # nginx closes a connection after 1,000
        with (
            socket.create_connection(("localhost", deployed.port)) as raw,
            deployed.trust.wrap_socket(raw, server_hostname="localhost") as tls,
        ):
            tls.sendall(request * 899 + last)
            while part := tls.recv(65536):
                said += part
    assert said.count(b"HTTP/1.1 200 ") >= limits["requests_burst"]
    refusal = re.search(rb"HTTP/1.1 429 .*?\r\n\r\n", said, re.DOTALL)[0].decode()
    assert f"Retry-After: {limits['retry_after']}\r\n" in refusal
    assert "X-Content-Type-Options: nosniff\r\n" in refusal
    with deployed.browser() as browser:  # and it is so for a moment only
        assert until(lambda: browser.get("/healthz").status_code == 200, limits["retry_after"])


def test_a_host_that_puts_load_on_it_is_not_counted(deployed):
    names = deployed.on("edge", "sudo sed -n '/geo/,/}/p' /etc/laurel/nginx/snippets/limits.conf")[1]
    assert f"{deployed.address('load')} '';" in names


def test_the_name_and_address_of_a_client_cannot_be_forged(deployed):
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "attacker.example", "X-Forwarded-Proto": "http"}
    with deployed.browser() as browser:
        answer = browser.get("/no-such-page", headers=forged)
    said = journal(deployed, answer.headers["x-request-id"])
    assert '"logger":"uwsgi"' in said
    assert "203.0.113.9" not in said
