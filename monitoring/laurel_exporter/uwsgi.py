"""uWSGI's workers, from its stats socket. What a request is about stays there: only counts and times are told."""

import json
import socket
import time

from .text import Family

SECONDS = 5


def families(path, now=time.time):
    """Empty where uWSGI does not run."""
    up = Family("laurel_uwsgi_up", "gauge", "1 where uWSGI answers on its stats socket")
    try:
        stats = read(path)
    except (OSError, ValueError):
        return [up.add(0)]
    requests = Family("laurel_uwsgi_requests_total", "counter", "Requests that a worker answered")
    exceptions = Family("laurel_uwsgi_exceptions_total", "counter", "Requests that ended with an exception of the application")
    harakiri = Family("laurel_uwsgi_harakiri_total", "counter", "Workers that were killed over a request")
    workers = Family("laurel_uwsgi_workers", "gauge", "Workers by state")
    longest = Family("laurel_uwsgi_longest_request_seconds", "gauge", "How long the oldest request in a worker has lasted")
    queue = Family("laurel_uwsgi_listen_queue", "gauge", "Connections that wait for a worker")
    limit = Family("laurel_uwsgi_listen_queue_limit", "gauge", "How many may wait; more are refused")
    states = {"idle": 0, "busy": 0, "other": 0}
    ages = [0.0]
    for worker in stats.get("workers", []):
        states[worker["status"] if worker["status"] in states else "other"] += 1
        requests.add(worker["requests"], worker=worker["id"])
        exceptions.add(worker["exceptions"], worker=worker["id"])
        harakiri.add(worker["harakiri_count"], worker=worker["id"])
        ages += [
            now() - core["req_info"]["request_start"] for core in worker.get("cores", []) if core.get("in_request") and core.get("req_info")
        ]
    for state, count in states.items():
        workers.add(count, state=state)
    sockets = stats.get("sockets", [])
    waiting = max([stats.get("listen_queue", 0), *(s.get("queue", 0) for s in sockets)])
    queue.add(waiting)
    limit.add(max([s.get("max_queue", 0) for s in sockets] or [0]))
    return [up.add(1), requests, exceptions, harakiri, workers, longest.add(max(ages)), queue, limit]


def read(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(path)
        text = b""
        while part := connection.recv(65536):
            text += part
    return json.loads(text)
