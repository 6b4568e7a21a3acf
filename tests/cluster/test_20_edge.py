"""What the edge serves, whatever the topology."""

import gzip
import re
import socket
import ssl

import httpx
import pytest
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
        ada.open("/ws/notifications/", origin="https://attacker.example")
    assert refused.value.response.status_code == 403
    found = until(
        lambda: re.findall(
            r'"request_id":"(\w+)".*"path":"/ws/notifications/"', deployed.on("edge", "sudo tail -50 /var/log/nginx/access.log")[1]
        ),
        10,
    )
    said = journal(deployed, found[-1])
    assert '"logger": "daphne.access"' in said
    assert '"logger": "project.origin"' in said


def test_the_name_and_address_of_a_client_cannot_be_forged(deployed):
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "attacker.example", "X-Forwarded-Proto": "http"}
    with deployed.browser() as browser:
        answer = browser.get("/no-such-page", headers=forged)
    said = journal(deployed, answer.headers["x-request-id"])
    assert '"logger":"uwsgi"' in said
    assert "203.0.113.9" not in said
