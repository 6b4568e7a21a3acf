"""Things that go wrong on the cluster, each put right again whatever happens."""

import json
import shlex
import subprocess
import threading
import time
from contextlib import contextmanager, suppress

import httpx
import yaml

from cluster.paths import ROOT
from helpers import until

PATIENCE = 120


def on(cluster, host, script):
    code, said = cluster.on(host, script)
    assert code == 0, said
    return said


def docker(*words):
    subprocess.run(["docker", *words], check=True, capture_output=True)


@contextmanager
def redis_stopped(cluster, user):
    on(cluster, "data", "sudo systemctl stop redis-server")
    try:

        def logged():
            """Whichever Daphne the socket comes to says so; until it was the one that the runbook looks at."""
            publish(cluster, user)
            return "Wake-up not sent" in cluster.on("app1", "sudo journalctl --unit daphne@1 --lines 200 --no-pager")[1]

        assert until(logged, 60)
        yield
    finally:
        on(cluster, "data", "sudo systemctl start redis-server")


@contextmanager
def database_stopped(cluster, user):
    on(cluster, "data", "sudo systemctl stop postgresql@15-main")
    try:
        yield
    finally:
        on(cluster, "data", "sudo systemctl start postgresql@15-main")


@contextmanager
def app1_stopped(cluster, user):
    docker("kill", cluster.container("app1"))
    try:
        yield
    finally:
        docker("start", cluster.container("app1"))
        assert until(lambda: cluster.on("app1", "true")[0] == 0, PATIENCE)


@contextmanager
def daphne_killed(cluster, user):
    """It reaches its memory limit once, as in `make impact`: the kernel kills it; systemd starts it again, with the limit of its unit."""
    known = yaml.safe_load((ROOT / "loadtests/impact/operations.yml").read_text())["operations"]
    reach = next(step["run"] for step in known["memory-limit"]["do"] if "run" in step)
    count = "systemctl show --property=NRestarts --value daphne@1.service"
    before = int(on(cluster, "app1", count))
    try:
        on(cluster, "app1", f"sudo sh -c {shlex.quote(reach)}")
        assert until(lambda: int(on(cluster, "app1", count)) > before, 30), "it was not killed"
        on(cluster, "app1", "sudo systemctl revert daphne@1.service")
        assert until(lambda: cluster.on("app1", "systemctl is-active daphne@1.service")[0] == 0, 60)
        yield
    finally:
        cluster.on("app1", "sudo systemctl revert daphne@1.service")
        assert cluster.make("scale", DAPHNE=2, UWSGI=2).code == 0  # the runbook has more of them started


@contextmanager
def backed_up(cluster, user):
    assert cluster.make("backup").code == 0
    yield


FIND_BUSY = """import json, socket, sys, time
for _ in range(400):
    stats = socket.socket(socket.AF_UNIX)
    stats.connect("/run/uwsgi/stats.sock")
    text = b""
    while part := stats.recv(65536):
        text += part
    busy = [worker["pid"] for worker in json.loads(text)["workers"] if worker["status"] == "busy"]
    if busy:
        import os, signal
        os.kill(busy[0], signal.SIGSTOP)
        print(busy[0])
        break
    time.sleep(0.05)
"""


@contextmanager
def worker_held(cluster, user):
    """One of uWSGI's workers stopped in the middle of a request, which does not end."""
    ending = threading.Event()

    def visit():
        with cluster.browser() as browser:
            while not ending.is_set():
                with suppress(httpx.HTTPError):  # it was held
                    browser.get("/workload/slow-sync", timeout=3)

    visitors = [threading.Thread(target=visit, daemon=True) for _ in range(4)]
    for visitor in visitors:
        visitor.start()
    worker = ""
    try:
        worker = on(cluster, "app1", f"sudo python3 -c {shlex.quote(FIND_BUSY)}").strip()
        assert worker, "no worker was busy"
        yield
    finally:
        ending.set()
        cluster.on("app1", f"sudo kill -CONT {worker} 2> /dev/null; true")


@contextmanager
def nothing_wrong(cluster, user):
    yield


def publish(cluster, user):
    """A message, while whatever is wrong is wrong."""
    location = user.post("/rooms/", name=f"Fault {time.monotonic_ns()}").headers["location"]
    with user.open(f"/ws{location}") as socket:
        socket.send(json.dumps({"type": "publish", "text": "hello"}))
        while json.loads(socket.recv(timeout=15))["type"] not in ("ack", "error"):
            pass
