"""People who use the application while something is done to it: pages at a steady rate, and sockets that publish, are closed and resume.

Pages start on a schedule that does not wait for answers, so that a stall is seen by all who come in it. A socket does what the page's own
client does: told 1012 it comes back at once, and subscribes after the last id that it has.
"""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

SERVICE_RESTART = 1012
PATIENCE = 30  # seconds until what was published last has come to everybody


@dataclass
class Felt:
    """What the users felt."""

    pages: int = 0
    asked_again: int = 0  # pages whose kept connection was closed before anything came
    failed: list = field(default_factory=list)  # (status or error, seconds since the start)
    slowest: float = 0
    closed: Counter = field(default_factory=Counter)  # close code -> how many
    refused: Counter = field(default_factory=Counter)  # attempts to come back that found no server yet -> how many
    away: list = field(default_factory=list)  # seconds from a close to the next `subscribed`
    unrecovered: int = 0
    duplicated: int = 0
    gaps: int = 0
    published: int = 0
    lost: int = 0  # acknowledged, and not come to each socket

    def summary(self):
        return {
            "pages": self.pages, "asked_again": self.asked_again, "failed": self.failed[:5],
            "slowest_s": round(self.slowest, 2), "closed": dict(self.closed),
            "refused": {str(why)[:80]: count for why, count in self.refused.items()},
            "longest_away_s": round(max(self.away, default=0), 2), "published": self.published, "lost": self.lost,
            "duplicated": self.duplicated, "gaps": self.gaps, "unrecovered": self.unrecovered,
        }  # fmt: skip


class Crowd:
    def __init__(self, user, room, *, pages_per_second=20, sockets=24, messages_per_second=6):
        self.user, self.room, self.felt = user, room, Felt()
        self.rate, self.sockets, self.message_rate = pages_per_second, sockets, messages_per_second
        self.cluster = user.cluster
        self.ending = threading.Event()
        self.acknowledged, self.positions, self.ready = set(), {}, 0
        self.began = time.monotonic()
        cookie = "; ".join(f"{name}={value}" for name, value in user.browser.cookies.items())
        self.options = {
            "uri": f"wss://localhost:{self.cluster.port}/ws{room}", "ssl": self.cluster.trust, "proxy": None, "open_timeout": 15,
            "origin": self.cluster.url, "additional_headers": {"Cookie": cookie},
        }  # fmt: skip

    async def run(self):
        async with httpx.AsyncClient(base_url=self.cluster.url, verify=self.cluster.trust, trust_env=False, timeout=20) as browser:
            people = [asyncio.create_task(self.person(number)) for number in range(self.sockets)]
            await self.visit(browser)
            end = time.monotonic() + PATIENCE
            newest = max(self.acknowledged, default=0)
            while min(self.positions.values(), default=0) < newest and time.monotonic() < end:
                await asyncio.sleep(0.1)
            self.felt.lost = sum(max(0, newest - position) for position in self.positions.values())
            for person in people:
                person.cancel()
            await asyncio.gather(*people, return_exceptions=True)

    async def visit(self, browser):
        """Until the end, a page each 1/rate seconds, whether or not the others were answered."""
        visits, loop = set(), asyncio.get_running_loop()
        first, number = loop.time(), 0
        while not self.ending.is_set():
            await asyncio.sleep(max(0, first + number / self.rate - loop.time()))
            visits.add(asyncio.create_task(self.page(browser, first + number / self.rate)))
            number += 1
        await asyncio.gather(*visits)

    async def page(self, browser, due):
        loop = asyncio.get_running_loop()
        try:
            status = await self.ask(browser)
        except httpx.HTTPError as error:
            status = repr(error)
        self.felt.pages += 1
        self.felt.slowest = max(self.felt.slowest, loop.time() - due)
        if status != 200:
            self.felt.failed.append((status, round(time.monotonic() - self.began, 1)))

    async def ask(self, browser):
        """The status of a page; asked for again where nothing came on a connection that was kept, as browsers do (RFC 9112, 9.3.1).

        nginx closes such connections when it is reloaded, and a request may be on its way just then. Counted, and bounded by who judges.
        """
        try:
            return (await browser.get("/workload/row")).status_code
        except httpx.RemoteProtocolError as error:
            if "without sending a response" not in str(error):
                raise
            self.felt.asked_again += 1
            return (await browser.get("/workload/row")).status_code

    async def person(self, number):
        position, closed_at, unsure = None, None, {}
        while True:
            opened = False
            try:
                async with connect(**self.options) as socket:
                    opened = True
                    await socket.send(json.dumps({"type": "subscribe", "after": position}))
                    for key in unsure:  # the acknowledgement did not come: the key says that it is the same message
                        await socket.send(json.dumps({"type": "publish", "text": "again", "key": key}))
                    talking = asyncio.create_task(self.talk(socket, number, unsure))
                    try:
                        async for text in socket:
                            position, closed_at = self.hear(json.loads(text), number, position, closed_at, unsure)
                    finally:
                        talking.cancel()
                code = socket.close_code
            except ConnectionClosed as ended:
                code = ended.rcvd.code if ended.rcvd else 1006
            except (OSError, InvalidHandshake, TimeoutError) as error:
                code = repr(error)
            # Who was refused had no socket that could be closed; `away` says how long it took to come back.
            (self.felt.closed if opened else self.felt.refused)[code] += 1
            closed_at = closed_at or time.monotonic()
            await asyncio.sleep(random.uniform(0, 0.5) if code == SERVICE_RESTART else random.uniform(0.2, 1))

    def hear(self, frame, number, position, closed_at, unsure):
        if frame["type"] == "subscribed":
            if closed_at is not None:
                self.felt.away.append(time.monotonic() - closed_at)
            if position is None:
                position, self.ready = frame["after"], self.ready + 1
            self.felt.unrecovered += not frame["recovered"]
            closed_at = None
        elif frame["type"] == "message":
            self.felt.duplicated += frame["id"] <= position
            self.felt.gaps += frame["id"] > position + 1
            position = max(position, frame["id"])
        elif frame["type"] == "ack":
            unsure.pop(frame["key"], None)
            if frame["id"] not in self.acknowledged:
                self.felt.published += 1
            self.acknowledged.add(frame["id"])
        if position is not None:
            self.positions[number] = position
        return position, closed_at

    async def talk(self, socket, number, unsure):
        pause = self.sockets / self.message_rate
        await asyncio.sleep(random.uniform(0, pause))
        while not self.ending.is_set():
            key = f"{number}-{time.monotonic_ns()}"
            unsure[key] = True
            await socket.send(json.dumps({"type": "publish", "text": f"from {number}", "key": key}))
            await asyncio.sleep(pause)


@contextmanager
def using(user, room, **sizes):
    """Somebody uses the application while the block runs: yields what they felt, whole after the block."""
    crowd = Crowd(user, room, **sizes)
    errors = []

    def work():
        try:
            asyncio.run(crowd.run())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while crowd.ready < crowd.sockets and time.monotonic() < end and not errors:
        time.sleep(0.1)
    assert crowd.ready == crowd.sockets, f"only {crowd.ready} of {crowd.sockets} sockets opened; {errors} {crowd.felt}"
    time.sleep(1)
    try:
        yield crowd.felt
        time.sleep(2)
    finally:
        crowd.ending.set()
        thread.join(90)
    assert not errors, errors
    assert not thread.is_alive(), "the crowd did not end"
