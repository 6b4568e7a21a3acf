"""Thousands of WebSockets in one greenlet: the crowd that makes a server work. Latency is never taken here.

The kernel's own epoll says which sockets have something; frames are looked at, not decoded: of a message only its id
and the load's mark are read. The handshake and what is rare (fragments, frames that are cut) take a slower way.

gevent has no epoll, so the real one is used, and its file descriptor is itself waited for in gevent's loop.
"""

import contextlib
import heapq
import itertools
import json
import os
import random
import ssl
import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent.hub import get_hub
from gevent.monkey import get_original

from .member import (
    ACCEPT,
    CLOSE,
    CLOSED,
    CONNECTING,
    KEY,
    MARKED,
    MESSAGE,
    OPEN,
    PONG,
    SECURING,
    SHAKING,
    SUBSCRIBING,
    TEXT,
    Member,
    masked,
)
from .recorder import RECORDER

# Locust has patched both by now.
epoll = get_original("select", "epoll")
RealSocket = get_original("socket", "socket")

EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP = 1, 4, 8, 16
READ_BYTES = 65536
EVENTS_A_TURN = 512  # then others get the CPU
OPENING_MOST = 64  # handshakes under way at a time, until all have been open once; who comes back asks nobody
OPEN_TIMEOUT_SECONDS = 15.0
PORTS_AN_ADDRESS = 20_000  # of about 28,000 that the kernel gives out for one source address


class Crowd:
    """Holds the sockets of `members`; `run` does so until its greenlet is killed.

    `addresses` are source addresses that are used in turn, for when one has too few ports. `on_cut(at)` is told of each
    open member that is cut, `on_back(cut at, at)` when it has its first message again, `on_loss(why)` of each connection
    that broke or was refused. `receive_buffer` bytes are asked of the kernel for each socket; 0: as it likes. Times are monotonic seconds.
    """

    def __init__(
        self,
        host: str,
        members: Iterable[Member],
        *,
        tls: ssl.SSLContext | None = None,
        addresses: Iterable[str] = (),
        chance: random.Random | None = None,
        on_cut: Any = None,
        on_back: Any = None,
        on_loss: Any = None,
        receive_buffer: int = 0,
    ) -> None:
        parts = urlsplit(host)
        self.members = list(members)
        self.host_header = parts.netloc
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.server_name = parts.hostname or ""
        self.tls = tls if parts.scheme == "https" else None
        family = get_original("socket", "getaddrinfo")(self.server_name, parts.port or (443 if self.tls else 80), type=1)[0]
        self.family, self.address = family[0], family[4]
        self.addresses = list(addresses)
        self.chance = chance or random.Random()
        self.on_cut = on_cut or (lambda at: None)
        self.on_back = on_back or (lambda cut_at, now: None)
        self.on_loss = on_loss or (lambda why: None)
        self.receive_buffer = receive_buffer
        self.poller = epoll()
        self.by_fd: dict[int, Member] = {}
        self.waiting: deque[Member] = deque(self.members)
        self.later: list[tuple[float, int, Member]] = []
        self.order = itertools.count()
        self.opening: set[Member] = set()
        self.opening_most = OPENING_MOST
        self.open = 0
        self.messages = 0
        self.received_bytes = 0
        self.problems: Counter[str] = Counter()

    # The loop

    def run(self) -> None:
        hub = get_hub()
        watcher = hub.loop.io(self.poller.fileno(), 1)
        try:
            while True:
                self.tend()
                # Wakes at least ten times a second for what is due by the clock.
                with gevent.Timeout(0.1, False):
                    hub.wait(watcher)
                self.turn()
                gevent.sleep(0)
        finally:
            watcher.stop()
            watcher.close()

    def turn(self) -> None:
        """Handle what has come, at most `EVENTS_A_TURN` sockets of it."""
        for fd, event in self.poller.poll(0, EVENTS_A_TURN):
            member = self.by_fd.get(fd)
            if member is None:
                continue
            try:
                if member.state == OPEN and event & EPOLLIN:
                    self.read(member)
                else:
                    self.advance(member)
            except OSError as error:
                self.lost(member, f"{type(error).__name__}: {error.strerror or error}")
            except (ValueError, IndexError) as error:
                self.lost(member, f"not a frame of the protocol: {error}")

    def tend(self) -> None:
        """Open what waits to be opened, and give up handshakes that take too long."""
        now = time.monotonic()
        while self.later and self.later[0][0] <= now:
            self.waiting.append(heapq.heappop(self.later)[2])
        while self.waiting and len(self.opening) < self.opening_most:
            self.connect(self.waiting.popleft(), now)
        for member in [m for m in self.opening if m.deadline < now]:
            self.lost(member, f"no handshake within {OPEN_TIMEOUT_SECONDS:.0f} s")

    def cut(self) -> None:
        """Drop all open sockets at once, as a client does that falls off the network; each comes back by itself."""
        now = time.monotonic()
        for member in self.members:
            if member.state == OPEN:
                self.was_cut(member, now)
                self.drop(member)
                self.come_back(member, now)

    def close(self) -> None:
        for member in self.members:
            if member.state == OPEN:
                with contextlib.suppress(OSError):
                    self.write(member, masked(CLOSE, (1000).to_bytes(2, "big")))
            if member.state != CLOSED:
                self.drop(member)
        self.poller.close()

    # One member's way to an open socket

    def connect(self, member: Member, now: float) -> None:
        member.socket = RealSocket(self.family, 1)
        member.socket.setblocking(False)
        if self.receive_buffer:
            # Before it connects: the window that it offers comes of it.
            member.socket.setsockopt(1, 8, self.receive_buffer)  # SOL_SOCKET, SO_RCVBUF
        member.state, member.deadline = CONNECTING, now + OPEN_TIMEOUT_SECONDS
        self.by_fd[member.socket.fileno()] = member
        self.opening.add(member)
        try:
            if self.addresses:
                # The kernel picks the port when it connects, so that ports are unique per target, not per machine.
                member.socket.setsockopt(0, 24, 1)  # IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT
                member.socket.bind((self.addresses[next(self.order) % len(self.addresses)], 0))
            with contextlib.suppress(BlockingIOError):
                member.socket.connect(self.address)
            self.poller.register(member.socket.fileno(), EPOLLOUT | EPOLLIN)
        except OSError as error:
            self.lost(member, f"{type(error).__name__}: {error.strerror}")

    def advance(self, member: Member) -> None:
        if member.state == CONNECTING:
            if code := member.socket.getsockopt(1, 4):  # SOL_SOCKET, SO_ERROR
                raise OSError(code, os.strerror(code))
            member.socket.setsockopt(6, 1, 1)  # TCP_NODELAY
            self.poller.modify(member.socket.fileno(), EPOLLIN)
            if self.tls:
                member.incoming, member.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                member.secure = self.tls.wrap_bio(member.incoming, member.outgoing, server_hostname=self.server_name)
                member.state = SECURING
                return self.shake_tls(member)
            return self.shake(member)
        if member.state == SECURING:
            data = member.socket.recv(READ_BYTES)
            if not data:
                raise ConnectionError("hung up in the TLS handshake")
            member.incoming.write(data)
            return self.shake_tls(member)
        if data := self.bytes_of(member):
            self.answered(member, member.rest + data)

    def shake_tls(self, member: Member) -> None:
        done = True
        try:
            member.secure.do_handshake()
        except ssl.SSLWantReadError:
            done = False
        if pending := member.outgoing.read():
            member.socket.send(pending)
        if done:
            self.shake(member)

    def shake(self, member: Member) -> None:
        member.state = SHAKING
        request = (
            f"GET /ws/rooms/{member.room}/ HTTP/1.1\r\nHost: {self.host_header}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nOrigin: {self.origin}\r\n"
            f"Cookie: {member.cookie}\r\n\r\n"
        )
        self.write(member, request.encode())

    def answered(self, member: Member, data: bytes) -> None:
        if member.state == SHAKING:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                member.rest = head
                return
            status = head.split(b"\r\n", 1)[0]
            if b" 101 " not in status + b" " or ACCEPT not in head:
                return self.lost(member, f"the handshake was answered with {status.decode('latin-1')[:60]}")
            member.state = SUBSCRIBING
            subscribe = json.dumps({"type": "subscribe", "after": member.sequence.last})
            self.write(member, masked(TEXT, subscribe.encode()))
        member.rest = b""
        if data:
            self.frames(member, data)

    def opened(self, member: Member) -> None:
        member.state, member.tries = OPEN, 0
        self.opening.discard(member)
        self.open += 1
        if self.open == len(self.members):
            self.opening_most = len(self.members)
        RECORDER.sockets_open += 1
        RECORDER.sockets_opened += 1

    # What an open one gets

    def bytes_of(self, member: Member) -> bytes:
        """What has come; nothing when there is less than a record. Ends the member when its peer has hung up."""
        try:
            data = member.socket.recv(READ_BYTES)
        except BlockingIOError:
            return b""
        if not data:
            self.lost(member, "the peer hung up without a close frame")
            return b""
        if member.secure is None:
            return data
        member.incoming.write(data)
        clear = []
        with contextlib.suppress(ssl.SSLWantReadError):
            while piece := member.secure.read(READ_BYTES):
                clear.append(piece)
        return b"".join(clear)

    def read(self, member: Member) -> None:
        data = self.bytes_of(member)
        if not data:
            return
        self.received_bytes += len(data)
        if member.rest:
            data, member.rest = member.rest + data, b""
        self.frames(member, data)

    def frames(self, member: Member, data: bytes) -> None:
        """Go through the frames in `data`; keep what is only a part of one."""
        at, end = 0, len(data)
        while end - at >= 2:
            opcode, size, body = data[at], data[at + 1], at + 2
            if size > 125:
                wide = 2 if size == 126 else 8
                if end - body < wide:
                    break
                size = int.from_bytes(data[body : body + wide], "big")
                body += wide
            after = body + size
            if after > end:
                break
            if opcode == TEXT and data.startswith(MESSAGE, body):
                self.message(member, data, body, after)
            else:
                self.other(member, opcode, data[body:after])
                if member.state == CLOSED:
                    return
            at = after
        if at < end:
            member.rest = data[at:]

    def message(self, member: Member, data: bytes, begin: int, end: int) -> None:
        """One message between `begin` and `end`: its id, and whether it counts."""
        digits = begin + len(MESSAGE)
        number = int(data[digits : data.index(b",", digits, end)])
        self.messages += 1
        sequence = member.sequence
        if number == sequence.last + 1:
            sequence.last = number
        elif not sequence.take(number, time.monotonic()):
            return
        found = data.find(MARKED, digits, end)
        # "+" in the ninth place: published in the measured window. See messages.mark.
        if 0 < found < end - 17 and data[found + 17] == 43:
            RECORDER.counters["deliveries"] += 1
        if member.back_since is not None:
            self.on_back(member.back_since, time.monotonic())
            member.back_since = None

    def other(self, member: Member, opcode: int, payload: bytes) -> None:
        """Whatever is not a whole message in one frame."""
        kind = opcode & 0x0F
        if kind == 9:
            return self.write(member, masked(PONG, payload))
        if kind == 8:
            code = int.from_bytes(payload[:2], "big") if payload else 1005
            return self.lost(member, f"closed with code {code}", at_once=code == 1012 or 4200 <= code < 4300)
        if kind in (0, 1, 2):
            member.parts.append(payload)
            if opcode & 0x80:
                whole, member.parts = b"".join(member.parts), []
                self.rare(member, whole)

    def rare(self, member: Member, whole: bytes) -> None:
        try:
            frame = json.loads(whole)
            if frame["type"] == "message":
                again = b'%b%d, "text": "%b"}' % (MESSAGE, frame["id"], frame["text"].encode())
                self.message(member, again, 0, len(again))
            elif frame["type"] == "subscribed" and frame.get("recovered"):
                self.opened(member)
            elif frame["type"] == "subscribed":
                self.lost(member, "the subscription was not recovered")
            else:
                self.problems[f"{frame['type']}: {frame.get('code')}"] += 1
        except (ValueError, KeyError, TypeError):
            self.problems[f"not a frame of the protocol: {whole[:60]!r}"] += 1

    def write(self, member: Member, data: bytes) -> None:
        if member.secure is not None:
            member.secure.write(data)
            data = member.outgoing.read()
        member.socket.send(data)  # small, and the send buffer of a reader is empty

    # The end of a socket

    def drop(self, member: Member) -> None:
        if member.state == OPEN:
            self.open -= 1
            RECORDER.sockets_open -= 1
        self.opening.discard(member)
        self.by_fd.pop(member.socket.fileno(), None)
        member.socket.close()
        member.socket = member.secure = member.incoming = member.outgoing = None
        member.rest, member.parts, member.state = b"", [], CLOSED

    def was_cut(self, member: Member, now: float) -> None:
        if member.back_since is None:  # else it was cut again before it had a message
            member.back_since = now
            self.on_cut(now)

    def lost(self, member: Member, why: str, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if member.state == OPEN:
            self.was_cut(member, now)
        self.problems[why] += 1
        self.on_loss(why)
        self.drop(member)
        self.come_back(member, now, at_once)

    def come_back(self, member: Member, now: float, at_once: bool = False) -> None:
        """As the protocol asks of a client: at once after 1012 and 42xx, else after a growing, random pause."""
        pause = 0.0 if at_once else self.chance.uniform(0, min(10.0, 2.0**member.tries))
        member.tries += 1
        heapq.heappush(self.later, (now + pause, next(self.order), member))
