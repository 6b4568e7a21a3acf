"""Subscribers on every transport, on a load host: `python -m gevent.monkey --module loadtests.feedcheck.subscribers`.

Standard input: a line of JSON (what to read, as whom, how many), {"go": true} when publishing begins, {"newest": N}
when it is over. It ends when its standard input does.
Standard output: lines of JSON, how far they are and at the end what each transport was given.
"""

import json
import random
import sys
import time
from collections import defaultdict
from dataclasses import replace
from typing import Any

import gevent
from gevent.fileobject import FileObject

from .mqtt import Mqtt
from .tally import Tally, pause_after, percentile
from .transports import Ended, Events, Frame, LongPoll, Poll, Refresh, Site, Transport, WebSocket

TRANSPORTS: dict[str, type[Transport]] = {
    "refresh": Refresh, "poll": Poll, "longpoll": LongPoll, "frame": Frame, "events": Events, "websocket": WebSocket, "mqtt": Mqtt,
}  # fmt: skip
CATCH_UP_SECONDS = 60  # after the last publish; then what has not come is lost
SETTLE_SECONDS = 3  # … and so long for what comes twice
SAY_SECONDS = 1
LATE_EACH = 4  # one subscriber in so many joins while others publish
PLUG_EACH = 3  # and one in so many is cut off once, and comes back
AWAY_SECONDS = (1, 4)


class Subscriber:
    """One reader, as a person's page would be: comes back after the pause that the end of a connection asks for."""

    def __init__(self, transport: str, site: Site, tls: Any, said: dict[int, str], delay: float, plug_at: int) -> None:
        self.name, self.tally, self.said = transport, Tally(), said
        self.transport = TRANSPORTS[transport](site, tls)
        self.delay, self.plug_at = delay, plug_at
        self.joined = False
        self.given_up = ""

    def run(self) -> None:
        time.sleep(self.delay)
        self.tally.counts_from = time.time()
        self.joined = True
        failures = 0
        while True:
            before = self.tally.received
            try:
                self.follow()
                pause = random.uniform(*AWAY_SECONDS)
            except (Ended, OSError) as end:
                failures = 1 if self.tally.received > before else failures + 1
                self.tally.refuse(str(end)[:90])
                pause = pause_after(getattr(end, "code", 0), failures, getattr(end, "retry_after", 0))
                if pause is None:
                    self.given_up = str(end)
                    return
            finally:
                self.transport.close()
            time.sleep(pause)
            if self.plug_at < 0:
                self.plug_at, self.tally.counts_from = 0, time.time()
            self.tally.reconnects += 1

    def follow(self) -> None:
        """Read until the connection ends, which raises, or until the plug is pulled, which returns."""
        for number, text in self.transport.read(self.tally):
            self.tally.take(number, text, time.time(), self.said)
            if 0 < self.plug_at <= number:
                self.plug_at, self.tally.counts_from = -1, float("inf")
                return


def sites(order: dict[str, Any]) -> list[tuple[str, Site]]:
    """Who reads how: the transports are dealt out in turn, and so are the users."""
    base = Site(**order["site"], session="")
    dealt = []
    for number in range(order["subscribers"]):
        session = order["sessions"][number % len(order["sessions"])]
        dealt.append((order["transports"][number % len(order["transports"])], replace(base, session=session, number=number)))
    return dealt


def result(subscribers: list[Subscriber], newest: int) -> dict[str, Any]:
    """What each transport was given, its subscribers taken together. Delays in seconds."""
    rows: dict[str, Any] = {}
    for name in dict.fromkeys(one.name for one in subscribers):
        ours = [one for one in subscribers if one.name == name]
        delays = sorted(delay for one in ours for delay in one.tally.delays)
        refused: dict[str, int] = defaultdict(int)
        for one in ours:
            for why, count in one.tally.refused.items():
                refused[why] += count
        rows[name] = {
            "subscribers": len(ours),
            "received": sum(one.tally.received for one in ours),
            "lost": sum(one.tally.lost(newest) for one in ours),
            "duplicated": sum(one.tally.duplicated for one in ours),
            "disordered": sum(one.tally.disordered for one in ours),
            "altered": sum(one.tally.altered for one in ours),
            "reconnects": sum(one.tally.reconnects for one in ours),
            "p50": percentile(delays, 0.5),
            "p99": percentile(delays, 0.99),
            "ends": dict(sorted(refused.items(), key=lambda item: -item[1])[:6]),
            "given_up": [one.given_up for one in ours if one.given_up][:3],
        }
    return rows


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def gather(order: dict[str, Any]) -> list[Subscriber]:
    """All subscribers. Of each transport some join late, and some are cut off once."""
    said: dict[int, str] = {}
    chance = random.Random(order["seed"])
    found, tls = [], None
    for number, (transport, site) in enumerate(sites(order)):
        tls = tls or site.tls
        turn = number // len(order["transports"])  # the how manieth of its transport
        late = chance.uniform(0, order["seconds"] / 2) if turn % LATE_EACH == LATE_EACH - 1 else 0
        plug_at = chance.randint(order["events"] // 4, order["events"] * 3 // 4) if turn % PLUG_EACH == 0 else 0
        found.append(Subscriber(transport, site, tls, said, late, plug_at))
    return found


def is_over(subscribers: list[Subscriber], newest: int, since: float) -> bool:
    whole = all(one.tally.last >= newest or one.given_up for one in subscribers)
    return whole or time.monotonic() - since > CATCH_UP_SECONDS


def main() -> None:
    commands = FileObject(sys.stdin.fileno(), "r", close=False)
    order = json.loads(commands.readline())
    subscribers = gather(order)
    # They run on; what they are given is read from their tallies. An error of ours ends none of the others.
    running = [gevent.spawn(one.run) for one in subscribers if not one.delay]
    say(ready=True, clock=time.time())
    told: dict[str, Any] = {}

    def listen() -> None:
        for line in commands:
            told.update(json.loads(line))
            if "go" in told and len(running) < len(subscribers):
                running.extend(gevent.spawn(one.run) for one in subscribers if one.delay)
        told["end"] = True

    gevent.spawn(listen)
    since = None
    while "end" not in told:
        gevent.sleep(SAY_SECONDS)
        say(received=sum(one.tally.received for one in subscribers))
        if "newest" in told:
            since = since or time.monotonic()
            if is_over(subscribers, told["newest"], since):
                gevent.sleep(SETTLE_SECONDS)
                break
    newest = told.get("newest")
    for one, greenlet in zip([o for o in subscribers if not o.delay] + [o for o in subscribers if o.delay], running, strict=False):
        if greenlet.exception is not None:
            one.given_up = repr(greenlet.exception)
    if newest is not None:
        say(result=result(subscribers, newest), texts=subscribers[0].said)
    gevent.killall(running, timeout=10)


if __name__ == "__main__":
    main()
