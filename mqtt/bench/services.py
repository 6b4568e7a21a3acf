"""A Mosquitto, a PostgreSQL and a Redis for one measurement: on loopback, on free ports, gone afterwards."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_interval 10
max_inflight_messages 1000
max_queued_messages 100000
log_dest stderr
log_type error
log_type warning
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for_port(port, process, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with code {process.returncode}")
        with socket.socket() as attempt:
            attempt.settimeout(1)
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args[0]} does not listen on port {port} after {seconds} s")


def pin(cpu):
    """For preexec_fn: run on one CPU only."""
    return (lambda: os.sched_setaffinity(0, {cpu})) if cpu is not None else None


@contextmanager
def process(command, port=None, **options):
    """Run a command until the block ends; wait until it listens where `port` is given."""
    started = subprocess.Popen([str(word) for word in command], **options)
    try:
        if port:
            wait_for_port(port, started)
        yield started
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@contextmanager
def folder(owner=None):
    path = Path(tempfile.mkdtemp(prefix="laurel-mqtt-"))
    try:
        if owner:
            shutil.chown(path, owner)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def as_user(name):
    """Words that run a command as a user without rights, where we are root: PostgreSQL and Mosquitto want that."""
    return ["setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups"] if os.geteuid() == 0 else []


@contextmanager
def mosquitto(config=MOSQUITTO, cpu=None, port=None):
    """Give the port of a broker."""
    port = port or free_port()
    with folder(owner="mosquitto" if os.geteuid() == 0 else None) as place:
        (place / "mosquitto.conf").write_text(config.format(port=port, folder=place))
        command = [*as_user("mosquitto"), "mosquitto", "-c", place / "mosquitto.conf"]
        with process(command, port, preexec_fn=pin(cpu)):
            yield port


@contextmanager
def postgresql(cpu=None):
    """Give the URL of an empty database. It writes to the disk as a real one does."""
    binaries = max(Path("/usr/lib/postgresql").iterdir(), key=lambda path: int(path.name)) / "bin"
    port = free_port()
    with folder(owner="postgres" if os.geteuid() == 0 else None) as place:
        data, words = place / "data", as_user("postgres")
        subprocess.run([*words, binaries / "initdb", "-D", data, "-A", "trust", "-U", "laurel"], check=True, capture_output=True)
        command = [*words, binaries / "postgres", "-D", data, "-p", port, "-k", place, "-c", "listen_addresses=127.0.0.1"]
        with process(command, port, preexec_fn=pin(cpu), stderr=subprocess.DEVNULL):
            # It listens before it answers.
            ready = f"until {binaries}/pg_isready -q -h 127.0.0.1 -p {port}; do sleep 0.1; done"
            subprocess.run(["timeout", "60", "sh", "-c", ready], check=True)
            subprocess.run([binaries / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "laurel", "feed"], check=True)
            yield f"postgresql://laurel@127.0.0.1:{port}/feed"


@contextmanager
def redis(cpu=None):
    port = free_port()
    command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with process(command, port, preexec_fn=pin(cpu), stdout=subprocess.DEVNULL):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def all_of_them(cpu=None):
    """Give (port of the broker, environment of the application)."""
    with ExitStack() as stack:
        port = stack.enter_context(mosquitto(cpu=cpu))
        environment = {
            "DATABASE_URL": stack.enter_context(postgresql(cpu)),
            "REDIS_URL": stack.enter_context(redis(cpu)),
            "SECRET_KEY": "only-for-measurements-0123456789abcdefghijklmnopqrstuvwxyz",
            "ALLOWED_HOSTS": "localhost",
        }
        yield port, environment
