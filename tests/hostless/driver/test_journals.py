"""The way of one request through the logs of every host."""

import json

import pytest

from cluster import inventory, journals, remote
from cluster.console import Failure

ID = "0123456789abcdef0123456789abcdef"
HOSTS = {"nginx": {"edge": {}}, "app": {"app1": {}, "app2": {}}}


def entry(unit, message, at):
    return json.dumps({"_SYSTEMD_UNIT": f"{unit}.service", "MESSAGE": message, "__REALTIME_TIMESTAMP": str(at)})


def test_lines_come_from_every_host_nginx_first_and_then_by_time(monkeypatch):
    line = json.dumps({"request_id": ID, "status": 200})
    said = {
        "edge": f"nginx {line}\nnginx 2026/01/01 [error] upstream timed out {ID}\n",
        "app1": "\n".join([entry("uwsgi", line, 3_000_000), entry("ssh", f"sudo: COMMAND=grep {ID}", 1), entry("uwsgi", line, 2_000_000)]),
        "app2": None,
    }
    monkeypatch.setattr(inventory, "hosts_by_group", lambda folder: HOSTS)
    monkeypatch.setattr(remote, "read", lambda environment, host, script, seconds: said[host])
    found = journals.trace("local", ID)
    assert [(line["host"], line["unit"], line["time"]) for line in found] == [
        ("edge", "nginx", 0.0), ("edge", "nginx", 0.0), ("app1", "uwsgi", 2.0), ("app1", "uwsgi", 3.0),
    ]  # fmt: skip


@pytest.mark.parametrize("request_id", ["zz", f"{ID}'; reboot; '", ID[:-1], ID.upper()])
def test_what_is_no_id_is_refused_before_a_host_is_asked(monkeypatch, request_id):
    monkeypatch.setattr(remote, "read", lambda *_: pytest.fail("a host was asked"))
    with pytest.raises(Failure, match="expected the 32 hex digits"):
        journals.trace("local", request_id)
