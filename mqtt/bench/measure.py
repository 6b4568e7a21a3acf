"""The three measurements. Each returns a dict that is printed as one line."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg

from sensor import Publisher

from . import services

HERE = Path(__file__).resolve().parent.parent
SERVER_CPU, OTHER_CPU = 0, 1
ROOM, USER = "bench", "load-0001"  # what `demo_users` makes
SETTLE_SECONDS = 60


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def paths(*folders):
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}


@contextmanager
def server(application, port, environment, **options):
    """The protocol server, alone on its CPU."""
    command = [sys.executable, "-m", "laurel_mqtt", application, "--broker", f"mqtt://127.0.0.1:{port}", "--log-level", "WARNING"]
    with services.process(command, env=environment, preexec_fn=services.pin(SERVER_CPU), **options) as process:
        yield process


def consumer(messages):
    """Through the server into an application that counts."""
    with services.mosquitto(cpu=OTHER_CPU) as port:
        with server("bench.counting:application", port, paths(HERE), stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            spent, begun = cpu_seconds(process.pid), time.monotonic()
            readings = [b"reading %06d of a sensor, 21.5" % number for number in range(messages)]
            with Publisher("127.0.0.1", port, "bench-publisher") as publisher:
                publisher.publish("count/here", readings)
            count = 0
            while count < messages:
                count, at = process.stdout.readline().split()
                count = int(count)
            spent = cpu_seconds(process.pid) - spent
        return {"measured": "consumer", **rates(messages, float(at) - begun, spent)}


def rates(messages, seconds, spent):
    return {
        "messages": messages, "seconds": round(seconds, 2), "per_second": round(messages / seconds),
        "cpu_us_per_message": round(1e6 * spent / messages), "cpu_share": round(spent / seconds, 2),
    }  # fmt: skip


@contextmanager
def feed(source):
    """Everything the application needs: give (broker's port, environment, connection to the database)."""
    with services.all_of_them(OTHER_CPU) as (port, values):
        environment = paths(HERE, source) | values
        manage = [sys.executable, source / "manage.py"]
        subprocess.run([*manage, "migrate", "--verbosity", "0"], env=environment, check=True)
        subprocess.run([*manage, "demo_users", "--count", "1"], env=environment, check=True, stdout=subprocess.DEVNULL)
        with psycopg.connect(values["DATABASE_URL"], autocommit=True) as database:
            yield port, environment, database


def newest(database):
    return database.execute("SELECT newest FROM rooms_room WHERE slug = %s", [ROOM]).fetchone()[0]


def wait_until_stored(database, expected):
    deadline = time.monotonic() + SETTLE_SECONDS
    while (stored := newest(database)) < expected and time.monotonic() < deadline:
        time.sleep(0.02)
    return stored


def payloads(count, keys):
    return [json.dumps({"text": f"reading {n}: 21.5"} | ({"key": f"k{n}"} if keys else {})).encode() for n in range(count)]


def warm(port, database):
    """Until the session is there and a first message went all the way."""
    first = Publisher("127.0.0.1", port, "bench-first")
    deadline = time.monotonic() + SETTLE_SECONDS
    while newest(database) < 1 and time.monotonic() < deadline:
        first.publish(f"rooms/{ROOM}/publish/{USER}", [json.dumps({"text": "first", "key": "first"}).encode()])
        time.sleep(0.2)
    return newest(database)


def stored(messages, source, application):
    """Into the database and, as each message of the feed, out to the subscribers."""
    with feed(source) as (port, environment, database), server(application, port, environment, cwd=source) as process:
        before = warm(port, database)
        spent, begun = cpu_seconds(process.pid), time.monotonic()
        Publisher("127.0.0.1", port, "bench-publisher").publish(f"rooms/{ROOM}/publish/{USER}", payloads(messages, keys=True))
        assert wait_until_stored(database, before + messages) == before + messages
        seconds, spent = time.monotonic() - begun, cpu_seconds(process.pid) - spent
        return {"measured": "stored in the feed", **rates(messages, seconds, spent)}


def restart(messages, source, application, *, keys, signal_name, rate=2000):
    """Publish while the server is ended and another takes its place; count what the feed holds."""
    with feed(source) as (port, environment, database):
        with server(application, port, environment, cwd=source) as first:
            before = warm(port, database)
            publisher = Publisher("127.0.0.1", port, "bench-publisher")
            topic = f"rooms/{ROOM}/publish/{USER}"
            publishing = threading.Thread(target=publisher.publish, args=(topic, payloads(messages, keys), rate))
            publishing.start()
            while newest(database) < before + messages // 3:
                time.sleep(0.01)
            at = newest(database)
            first.send_signal(getattr(signal, signal_name))
            code = first.wait(20)
        with server(application, port, environment, cwd=source):
            publishing.join()
            wait_until_stored(database, before + messages)
            time.sleep(2)  # for anything that comes twice
            total, texts, ids = database.execute(
                "SELECT count(*), count(DISTINCT text), max(number) - min(number) + 1 FROM rooms_message WHERE number > %s", [before]
            ).fetchone()
    return {
        "measured": f"{signal_name} after {at}", "keys": keys, "exit": code, "published": messages, "stored": total,
        "lost": messages - texts, "twice": total - texts, "ids_without_gaps": ids == total,
    }  # fmt: skip
