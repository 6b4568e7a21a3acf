"""Measures how late a message reaches a stream that holds a uWSGI worker, and what the wait costs.

    DATABASE_URL=… REDIS_URL=… pytest -s tests/measure_worker.py

Named so that a plain run of the tests leaves it out.
"""

import json
import statistics
import time
import urllib.request
from pathlib import Path

import pytest
from django.conf import settings

from rooms.services import message_publish

from . import servers
from .readers import parse_events

pytestmark = pytest.mark.django_db(transaction=True)


def cpu_of(process):
    """Seconds of CPU of a process and its children, so far."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        fields = stat.read_text().rpartition(")")[2].split() if stat.exists() else []
        if fields and (int(stat.parent.name) == process.pid or int(fields[1]) == process.pid):
            total += (int(fields[11]) + int(fields[12])) / 100
    return total


def test_a_waiting_worker(room, user, session):
    server = servers.uwsgi(STREAM_SECONDS_WSGI="60")
    request = urllib.request.Request(f"http://{server.address}/rooms/garden/events?after=0")
    request.add_header("Cookie", f"{settings.SESSION_COOKIE_NAME}={session}")
    delays, rest = [], ""
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            time.sleep(1)
            answer.read1(65536)
            used = cpu_of(server.process)
            time.sleep(15)
            idle = (cpu_of(server.process) - used) / 15
            for number in range(100):
                message_publish(room_id=room.pk, author=user, text=str(number))
                stored = time.time()
                found = []
                while not any(name == "message" for name, _ in found):
                    more, rest = parse_events(rest + answer.read1(65536).decode())
                    found += more
                delays.append((time.time() - stored) * 1000)
                assert json.dumps(found)
    finally:
        server.stop()
    p99 = statistics.quantiles(delays, n=100)[98]
    print(f"\nstored to read: p50 {statistics.median(delays):.1f} ms, p99 {p99:.1f} ms; idle: {idle * 100:.1f} % of a core")
