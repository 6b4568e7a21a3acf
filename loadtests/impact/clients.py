"""Clients that come for one operation, on a load host: `python -m gevent.monkey --module loadtests.impact.clients`.

Standard input: a line of JSON (where, as whom, how many), then {"do": "cut"} or {"do": "stop-reading"}. It ends when its
standard input does.
Standard output: {"ready": true} when all are in, {"result": facts} when it is over, {"failed": why} where it cannot be tried.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import gevent
from gevent.fileobject import FileObject

from loadtests.users.crowd import Crowd
from loadtests.users.member import OPEN, Member
from loadtests.users.tls import unverified
from loadtests.users.websocket import Closed, Refused, WebSocket

from .felt import percentile

COME_IN_SECONDS = 120
OVER_SECONDS = 90  # then what has not happened does not count as happened
LOUD_SECONDS = 0.25  # between two messages to those who do not read; each fills their buffers a little more
LOUD = "\N{HERB}" * 4000  # the longest message that the demo takes, of characters that take four bytes each


class NotTried(Exception):
    """It could not be tried; the message says why."""


class Clients(Crowd):
    """A crowd that comes back at once when it is cut, as a whole office does, or that stops reading."""

    def __init__(self, order: dict[str, Any]) -> None:
        rooms, cookies = order["rooms"], [f"{order['cookie']}={session}" for session in order["sessions"]]
        places = [(rooms[n % len(rooms)], cookies[(n // len(rooms)) % len(cookies)]) for n in range(order["count"])]
        super().__init__(
            order["url"], [Member(room, cookie, 0) for room, cookie in places],
            tls=unverified(), receive_buffer=order.get("receive_buffer", 0), on_back=self.is_back, on_loss=self.has_lost,
        )  # fmt: skip
        self.talkers = {room: Talker(order["url"], room, cookies[n % len(cookies)]) for n, room in enumerate(rooms)}
        self.losses: Counter[str] = Counter()
        self.back: list[float] = []  # seconds from the cut until the next message
        self.closed: list[float] = []  # seconds from the last read until the end
        self.stopped_at: float | None = None

    def is_back(self, cut_at: float, now: float) -> None:
        self.back.append(now - cut_at)

    def has_lost(self, why: str) -> None:
        self.losses[why] += 1

    def come_back(self, member: Member, now: float, at_once: bool = False) -> None:
        if self.stopped_at is not None:
            self.closed.append(now - self.stopped_at)  # for good
            return
        super().come_back(member, now, at_once or not member.tries)

    def cut_all(self) -> dict[str, Any]:
        """All are cut at once, and meanwhile something is said in each room: back is who has it."""
        self.losses.clear()
        reached = self.open
        self.cut()
        for talker in self.talkers.values():
            talker.say("while they are away")
        wait(lambda: len(self.back) >= reached and self.all_was_said() and not self.missing(), OVER_SECONDS)
        return {
            "reached": reached, "back": len(self.back), "back_s": seconds(self.back), "missing": self.missing(),
            "losses": dict(self.losses),
        }  # fmt: skip

    def all_was_said(self) -> bool:
        return all(talker.newest for talker in self.talkers.values())

    def missing(self) -> int:
        """Messages that were acknowledged to who said them and have not come to somebody."""
        newest = {room: talker.newest for room, talker in self.talkers.items()}
        return sum(max(0, newest[m.room] - m.sequence.last) + len(m.sequence.missing) for m in self.members)

    def stop_reading(self) -> dict[str, Any]:
        """Nobody reads any more, and long messages go on until all are closed. The kernel still tells of a connection that is reset."""
        self.losses.clear()
        reached = self.open
        self.stopped_at = time.monotonic()
        for member in self.members:
            if member.state == OPEN:
                self.poller.modify(member.socket.fileno(), 0)
        said = 0
        while len(self.closed) < reached and time.monotonic() - self.stopped_at < OVER_SECONDS:
            for talker in self.talkers.values():
                talker.say(LOUD)
            said += 1
            gevent.sleep(LOUD_SECONDS)
        return {
            "reached": reached, "closed": len(self.closed), "closed_s": seconds(self.closed), "messages": said,
            "losses": dict(self.losses),
        }  # fmt: skip


class Talker:
    """One who says something in a room, and is not one of the clients."""

    def __init__(self, url: str, room: str, cookie: str) -> None:
        self.newest = 0  # id of what was acknowledged last
        self.said = 0
        headers = [("Cookie", cookie), ("Origin", url)]
        self.socket = WebSocket.connect(f"{url.replace('http', 'ws', 1)}/ws/rooms/{room}/", headers=headers, tls=unverified())
        self.hearing = gevent.spawn(self.hear)

    def say(self, text: str) -> None:
        self.said += 1
        self.socket.send(json.dumps({"type": "publish", "text": text, "key": f"said {self.said}"}, ensure_ascii=False))

    def hear(self) -> None:
        while True:
            frame = json.loads(self.socket.receive())
            if frame["type"] == "ack":
                self.newest = max(self.newest, frame["id"])


def seconds(values: list[float]) -> dict[str, float]:
    return {str(q): round(percentile(values, q), 1) for q in (50, 95, 100)} if values else {}


def wait(until: Callable[[], bool], most: float) -> bool:
    end = time.monotonic() + most
    while not until() and time.monotonic() < end:
        gevent.sleep(0.05)
    return bool(until())


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def work(lines: FileObject) -> None:
    order = json.loads(lines.readline())
    clients = Clients(order)
    running = gevent.spawn(clients.run)
    if not wait(lambda: clients.open == order["count"] or running.dead, COME_IN_SECONDS) or running.dead:
        why = ", ".join(f"{count} x {why}" for why, count in clients.losses.most_common(3))
        raise NotTried(f"{clients.open} of {order['count']} clients came in within {COME_IN_SECONDS} s ({why or 'they still try'})")
    say(ready=True)
    for line in iter(lines.readline, ""):
        deed = {"cut": clients.cut_all, "stop-reading": clients.stop_reading}[json.loads(line)["do"]]
        say(result={"count": order["count"], **deed()})
    running.kill()
    clients.close()


def main() -> int:
    try:
        work(FileObject(sys.stdin.fileno(), "r", close=False))
    except (NotTried, Closed, Refused, OSError) as error:
        say(failed=str(error) or repr(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
