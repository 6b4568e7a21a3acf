"""A WebSocket server that writes the same frames to all of its clients, and can do nothing else.

    python broadcaster.py --after 8000 --messages 40 --rate 1

Prints its port. When `--after` clients have subscribed it sends each `--messages` messages in order, one round a time.
Blocking sockets and threads would not hold 8,000 clients, so it is one epoll loop.
"""

import argparse
import base64
import hashlib
import json
import select
import socket
import time

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(text: bytes) -> bytes:
    head = bytes([0x81, len(text)]) if len(text) < 126 else bytes([0x81, 126]) + len(text).to_bytes(2, "big")
    return head + text


def message(number: int) -> bytes:
    """As long as one of the demo's."""
    fields = {"type": "message", "id": number, "room": "load-1", "author": "visitor-0123456789ab", "text": "0123abcd+123456.123456"}
    return frame(json.dumps(fields | {"sent_at": "2026-01-31T12:00:00.123456+00:00", "sent_ts": 1769860800.123456}).encode())


def serve(after: int, messages: int, rate: float) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(listener.getsockname()[1], flush=True)
    listener.setblocking(False)
    poller = select.epoll()
    poller.register(listener.fileno(), select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    subscribed = 0
    while subscribed < after:
        for fd, _ in poller.poll(1):
            if fd == listener.fileno():
                client, _ = listener.accept()
                clients[client.fileno()] = client
                poller.register(client.fileno(), select.EPOLLIN)
                continue
            data = clients[fd].recv(65536)
            if data.startswith(b"GET "):
                key = next(line.split(b": ")[1] for line in data.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
                accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
                head = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
                clients[fd].sendall(head % accept)
            elif data:
                clients[fd].sendall(frame(b'{"type": "subscribed", "after": 0, "recovered": true}'))
                subscribed += 1
    begun = time.monotonic() + 1
    for number in range(1, messages + 1):
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        data = message(number)
        for client in clients.values():
            client.sendall(data)
    time.sleep(60)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--after", type=int, default=1)
    parser.add_argument("--messages", type=int, default=10)
    parser.add_argument("--rate", type=float, default=10.0)
    options = parser.parse_args()
    serve(options.after, options.messages, options.rate)
