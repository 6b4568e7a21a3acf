"""What our exporter tells."""

import json
import os
import socket
import sys
import threading

import pytest

from cluster.paths import ROOT

sys.path.insert(0, str(ROOT / "monitoring"))

from laurel_exporter import files, units, uwsgi
from laurel_exporter.__main__ import collected
from laurel_exporter.requests import Requests
from laurel_exporter.text import Family, page


def lines(families):
    return [line for line in page(families).splitlines() if not line.startswith("#")]


def request(status=200, seconds=0.02, path="/", upstream="198.18.0.21:3031"):
    return json.dumps({"status": status, "duration_s": seconds, "path": path, "upstream": upstream}).encode()


def test_labels_are_quoted_and_empty_families_left_out():
    family = Family("a_total", "counter", "about").add(2, path='x"y\\z')
    assert page([family, Family("b", "gauge", "nothing")]) == '# HELP a_total about\n# TYPE a_total counter\na_total{path="x\\"y\\\\z"} 2\n'


def test_requests_are_counted_by_status_and_bucket():
    requests = Requests("log", ["^/events$"])
    for line in (
        request(),
        request(503, 3),
        request(seconds=20),
        request(101, 900),
        request(path="/events", seconds=60),
        b"no json",
        b"[]",
    ):
        requests.take(line)
    told = lines(requests.families())
    assert 'laurel_http_requests_total{status="2xx"} 3' in told and 'laurel_http_requests_total{status="5xx"} 1' in told
    assert 'laurel_http_requests_total{status="1xx"} 1' in told
    assert 'laurel_http_request_seconds_bucket{le="0.025"} 1' in told and 'laurel_http_request_seconds_bucket{le="5"} 2' in told
    # Neither the WebSocket nor the stream.
    assert 'laurel_http_request_seconds_bucket{le="+Inf"} 3' in told and "laurel_http_request_seconds_count 3" in told


def test_a_server_that_did_not_answer_is_counted():
    requests = Requests("log", [])
    requests.take(request(upstream="198.18.0.21:3031, 198.18.0.22:3031"))
    assert "laurel_http_upstream_failures_total 1" in lines(requests.families())


def test_a_log_is_followed_over_its_rotation(tmp_path, monkeypatch):
    monkeypatch.setattr("laurel_exporter.requests.LOOK_SECONDS", 0.01)
    log = tmp_path / "access.log"
    log.write_bytes(request() + b"\n")
    requests = Requests(str(log), [])
    threading.Thread(target=requests.follow, daemon=True).start()

    def until(count):
        for _ in range(300):
            if requests.counts["2xx"] == count:
                return True
            threading.Event().wait(0.01)
        return False

    threading.Event().wait(0.1)
    assert requests.counts["2xx"] == 0, "what was there before counts not"
    with log.open("ab") as file:
        file.write(request()[:10])
        file.flush()
        threading.Event().wait(0.05)
        file.write(request()[10:] + b"\n" + request() + b"\n")
    assert until(2)
    log.rename(tmp_path / "access.log.1")
    log.write_bytes(request() + b"\n")
    assert until(3)


@pytest.fixture
def stats(tmp_path):
    """uWSGI's stats socket, which says this once."""
    path = str(tmp_path / "stats.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)

    def say(what):
        def answer():
            connection, _ = listener.accept()
            connection.sendall(what.encode())
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        return path

    yield say
    listener.close()


def test_uwsgis_workers_are_told_and_what_a_request_is_about_is_not(stats):
    workers = [
        {"id": 1, "status": "idle", "requests": 7, "exceptions": 1, "harakiri_count": 0, "cores": [{"in_request": 0}]},
        {"id": 2, "status": "busy", "requests": 3, "exceptions": 0, "harakiri_count": 2, "cores": [
            {"in_request": 1, "vars": ["HTTP_COOKIE=secret"], "req_info": {"request_start": 970}}]},
    ]  # fmt: skip
    path = stats(json.dumps({"workers": workers, "sockets": [{"queue": 5, "max_queue": 1024}], "listen_queue": 0}))
    told = lines(uwsgi.families(path, now=lambda: 1000))
    assert "laurel_uwsgi_up 1" in told and "laurel_uwsgi_longest_request_seconds 30" in told
    assert 'laurel_uwsgi_workers{state="busy"} 1' in told and 'laurel_uwsgi_requests_total{worker="1"} 7' in told
    assert "laurel_uwsgi_listen_queue 5" in told and "laurel_uwsgi_listen_queue_limit 1024" in told
    assert "secret" not in "".join(told)


def test_a_uwsgi_that_does_not_answer_is_down(tmp_path, stats):
    assert lines(uwsgi.families(str(tmp_path / "none"))) == ["laurel_uwsgi_up 0"]
    assert lines(uwsgi.families(stats("{half"))) == ["laurel_uwsgi_up 0"]


SHOWN = """Id=uwsgi.service
ActiveState=active
ControlGroup=/system.slice/uwsgi.service
NRestarts=2
Result=success
MemoryCurrent=1048576
TasksCurrent=18446744073709551615

Id=daphne@1.service
ActiveState=failed
ControlGroup=
NRestarts=0
Result=oom-kill
MemoryCurrent=[not set]
TasksCurrent=[not set]
"""


def test_units_are_told_with_what_systemd_and_the_kernel_know(tmp_path, monkeypatch):
    group = tmp_path / "system.slice/uwsgi.service"
    group.mkdir(parents=True)
    (tmp_path / "cpu.stat").write_text("usage_usec 9000000\n")  # the whole machine's, which is nobody's unit
    (group / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    monkeypatch.setattr(units, "ROOTS", (tmp_path / "none", tmp_path))
    monkeypatch.setattr(units.subprocess, "run", lambda *_, **__: type("Done", (), {"stdout": SHOWN}))
    told = lines(units.families(["uwsgi.service", "daphne@*.service"]))
    assert told == [
        'laurel_unit_cpu_seconds_total{unit="uwsgi"} 2.5', 'laurel_unit_memory_bytes{unit="uwsgi"} 1048576',
        'laurel_unit_active{unit="uwsgi"} 1', 'laurel_unit_active{unit="daphne@1"} 0',
        'laurel_unit_restarts_total{unit="uwsgi"} 2', 'laurel_unit_restarts_total{unit="daphne@1"} 0',
        'laurel_unit_out_of_memory{unit="uwsgi"} 0', 'laurel_unit_out_of_memory{unit="daphne@1"} 1',
    ]  # fmt: skip


def test_the_last_proved_backup_is_told_and_before_the_first_the_deploy(tmp_path):
    mark = tmp_path / "mark"
    assert lines(files.backups(str(mark))) == ["laurel_backup_proved_seconds 0"]
    mark.write_text("")
    os.utime(mark, (1600000000, 1600000000))
    assert lines(files.backups(str(mark))) == ["laurel_backup_proved_seconds 1600000000"]
    mark.write_text("1700000000\n")
    assert lines(files.backups(str(mark))) == ["laurel_backup_proved_seconds 1700000000"]


def test_a_collector_that_fails_takes_no_other_with_it():
    def fails():
        raise OSError("no")

    told = collected([fails, lambda: [Family("x", "gauge", "x").add(1)]])
    assert "\nx 1\n" in told and "laurel_exporter_failures 1\n" in told
