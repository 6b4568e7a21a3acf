"""The tabs of Locust's web UI, asked for as the page asks for them."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from loadtests.users.limits import doubts

ROOT = Path(__file__).resolve().parents[3]


def document(**changes):
    base = {
        "series": {"json": {"count": 10, "failed": 0}},
        "counters": {"woken": 100, "late": 1},
        "sockets": {"expected": 5, "opened": 5, "open": 5},
        "generator": {"cpu_share": 0.2, "open_files": 10, "open_files_limit": 1000, "ports": 10, "ports_limit": 28000},
    }
    return {name: base[name] | changes.get(name, {}) for name in base}


def test_a_good_run_passes_every_check():
    assert not any(doubt.is_broken for doubt in doubts(document()))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"series": {"json": {"count": 10, "failed": 1}}}, "1 of 10 wrong"),
        ({"counters": {"dropped": 3}}, "3 dropped"),
        ({"counters": {"late": 6}}, "6.0%"),
        ({"counters": {"duplicates": 2}}, "2 duplicates"),
        ({"counters": {"lost": 1}}, "1 lost"),
        ({"counters": {"out_of_order": 1}}, "1 out_of_order"),
        ({"sockets": {"open": 4}}, "4 of 5"),
        ({"generator": {"cpu_share": 0.71}}, "71%"),
        ({"generator": {"open_files": 950}}, "950 of 1000"),
        ({"generator": {"ports": 27000}}, "27000 of 28000"),
    ],
)
def test_each_check_can_fail(changes, words):
    broken = [doubt.seen for doubt in doubts(document(**changes)) if doubt.is_broken]
    assert len(broken) == 1 and words in broken[0]


@pytest.fixture
def web_ui(start_server):
    """Locust's web UI with all scenarios to choose from; returns its address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [sys.executable, "-m", "locust", "-f", "loadtests/scenarios", "--class-picker", "--web-host", "127.0.0.1"]
    command += ["--web-port", str(port), "--host", f"http://127.0.0.1:{start_server('--whole')}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    site = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            urllib.request.urlopen(site, timeout=5).close()
            break
        except OSError:
            time.sleep(0.1)
    yield site
    process.kill()
    process.wait()


def fetch(address, data=None, headers=None):
    with urllib.request.urlopen(urllib.request.Request(address, data, headers or {}), timeout=10) as answer:
        return answer.read().decode()


def rows(site):
    return {tab["key"]: tab["data"] for tab in json.loads(fetch(f"{site}/stats/requests"))["extended_stats"]}


def test_the_page_has_the_tabs_and_their_rows_are_of_the_running_test(web_ui):
    page = fetch(web_ui)
    assert all(f'"{key}"' in page.replace("&#34;", '"') for key in ("push-delay", "service-cpu", "validity"))
    assert "CrowdUser" in page and "PushUser" in page  # the scenarios to choose from
    assert rows(web_ui)["validity"] == [{"check": "the measured window is not open yet"}]

    chosen = {"user_count": 2, "spawn_rate": 100, "host": "", "user_classes": ["ChatUser"], "message_rate": 5}
    host = next(part.split('"')[0] for part in page.replace("&#34;", '"').split('"host": "')[1:])
    fetch(f"{web_ui}/swarm", urllib.parse.urlencode(chosen | {"host": host}, doseq=True).encode())
    for _ in range(100):
        seen = rows(web_ui)
        delivery = next((row for row in seen["push-delay"] if row["name"] == "delivery"), None)
        if delivery and delivery["count"] > 5:
            break
        time.sleep(0.1)
    assert delivery["count"] > 5 and 0 < float(delivery["p50"]) <= float(delivery["p99"]) <= float(delivery["max"])
    of_the_server = [row for row in seen["validity"] if "generator" not in row["check"] and "late" not in row["check"]]
    assert of_the_server and {row["verdict"] for row in of_the_server} == {"ok"}, of_the_server
    fetch(f"{web_ui}/stop", b"")


def test_the_hosts_cpu_is_what_the_controller_brings(web_ui):
    assert "loadtests.lab.live" in rows(web_ui)["service-cpu"][0]["service"]
    sent = {"rows": [{"service": "nginx", "host": "edge", "cpu": 0.25}]}
    fetch(f"{web_ui}/laurel/cpu", json.dumps(sent).encode(), {"Content-Type": "application/json"})
    assert rows(web_ui)["service-cpu"] == [{"service": "nginx", "host": "edge", "cpu": "0.25"}]
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(f"{web_ui}/laurel/cpu", b'{"rows": [{}]}', {"Content-Type": "application/json"})
    assert caught.value.code == 400 and "expected" in caught.value.read().decode()
    caught.value.close()


def test_cpus_in_use_are_the_difference_of_two_samples():
    from loadtests.lab.live import rows as cpu_rows

    before = {"edge": {"at": 10.0, "usage_usec": {"nginx.service": 1_000_000, "ssh.service": 5}}}
    after = {"edge": {"at": 12.0, "usage_usec": {"nginx.service": 1_500_000, "ssh.service": 900_000}}}
    assert cpu_rows(before, after) == [{"service": "nginx", "host": "edge", "cpu": 0.25}]
