"""Things that go wrong on the cluster, each put right again whatever happens."""

import json
import subprocess
import threading
import time
from contextlib import contextmanager, suppress

import httpx

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
        publish(cluster, user)
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
    """A limit that it cannot live with: the kernel kills it."""
    on(cluster, "app1", "sudo systemctl set-property --runtime daphne@1.service MemoryMax=24M")
    try:
        time.sleep(5)
        yield
    finally:
        on(cluster, "app1", "sudo systemctl set-property --runtime daphne@1.service MemoryMax=512M && sudo systemctl restart daphne@1")


@contextmanager
def worker_held(cluster, user):
    """One of uWSGI's workers stopped in the middle of requests, which never end."""
    on(cluster, "app1", "sudo kill -STOP $(pgrep -P $(systemctl show --property=MainPID --value uwsgi) | head -1)")
    ending = threading.Event()

    def visit():
        with cluster.browser() as browser:
            while not ending.is_set():
                with suppress(httpx.HTTPError):  # it was held
                    browser.get("/workload/json", timeout=3)

    visitors = [threading.Thread(target=visit, daemon=True) for _ in range(4)]
    for visitor in visitors:
        visitor.start()
    try:
        time.sleep(3)
        yield
    finally:
        ending.set()
        cluster.on("app1", "sudo sh -c 'pkill -CONT -P $(systemctl show --property=MainPID --value uwsgi)'")


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
