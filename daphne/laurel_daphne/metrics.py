"""Prometheus metrics. Daphne has none: https://github.com/django/daphne/issues/118."""

import threading
import time

from prometheus_client import Counter, Gauge, Histogram, start_http_server

websockets_open = Gauge("daphne_websockets_open", "WebSockets open now")
websockets_opened = Counter("daphne_websockets_opened_total", "WebSockets accepted by the application")
websockets_closed = Counter("daphne_websockets_closed_total", "WebSockets closed, by close code", ["code"])
handshakes_refused = Counter("daphne_handshakes_refused_total", "WebSocket handshakes answered with an error, by reason", ["reason"])
messages = Counter("daphne_messages_total", "WebSocket messages", ["direction"])
message_bytes = Counter("daphne_message_bytes_total", "Payload of WebSocket messages", ["direction"])
messages_in, messages_out = messages.labels("in"), messages.labels("out")
bytes_in, bytes_out = message_bytes.labels("in"), message_bytes.labels("out")

sends_waiting = Gauge("daphne_sends_waiting", "Sends that wait for a client to read")
send_wait_seconds = Histogram(
    "daphne_send_wait_seconds",
    "How long sends waited for a client to read (only those that had to wait)",
    buckets=[0.01, 0.1, 0.5, 1, 5, 10, 30, 60],
)
slow_readers_closed = Counter("daphne_slow_readers_closed_total", "Connections cut because nobody read them")
reads_paused = Counter("daphne_reads_paused_total", "Times a socket was not read because the application was behind")

http_requests = Counter("daphne_http_requests_total", "HTTP requests answered, by status class", ["status"])
http_in_flight = Gauge("daphne_http_requests_in_flight", "HTTP requests being answered")

draining = Gauge("daphne_draining", "1 while a drain is running")
drain_sockets = Gauge("daphne_drain_sockets", "WebSockets that the running or last drain began with")
drain_remaining = Gauge("daphne_drain_remaining", "WebSockets of that drain that are still open")

over_capacity_drops = Counter(
    "daphne_over_capacity_drops_total",
    "Messages the channel layer dropped: `group` is a full channel at group_send, `buffer` a consumer that is behind",
    ["kind"],
)
loop_lag_seconds = Gauge("daphne_loop_lag_seconds", "How late the event loop ran its last one-second timer")


def serve(host, port, *, patient=False):
    """Answers in a thread, so that a blocked event loop can still be seen. If `patient`, as soon as the port is free."""
    if patient:
        threading.Thread(target=serve_when_free, args=(host, port), daemon=True).start()
    else:
        start_http_server(port, addr=host)


def serve_when_free(host, port):
    """Our predecessor answers there until it has drained."""
    while True:
        try:
            start_http_server(port, addr=host)
        except OSError:
            time.sleep(0.5)
        else:
            return


def code_family(code):
    """A label with few values: clients may send any code from 3000 to 4999."""
    return str(code) if code < 3000 else f"{code // 100}xx"


# A label that has never been counted shows 0, not nothing, so that a first increase is seen.
for direction in ("group", "buffer"):
    over_capacity_drops.labels(direction)
for reason in ("application", "busy", "draining", "error", "request", "timeout"):
    handshakes_refused.labels(reason)
