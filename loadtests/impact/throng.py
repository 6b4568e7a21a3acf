"""Clients that come for one operation: starts clients.py on the load host, and tells it what to do."""

import time
from typing import Any

from loadtests.feedcheck.run import PYTHON, Program, wait_for
from loadtests.lab.errors import LabError
from loadtests.lab.hosts import CODE, Hosts

from .site import site_of

USERS = 40  # whose sessions are dealt out; 2,000 clients are 50 each, on all Daphnes
ALIVE_SECONDS = 400  # then the program ends by itself, whatever happened
COME_IN_SECONDS = 150
DO_SECONDS = 120
PROGRAM = f"cd {CODE} && ulimit -n $(ulimit -Hn); exec timeout {ALIVE_SECONDS} {PYTHON} -m gevent.monkey --module loadtests.impact.clients"
# Who does not read answers no ping either, and is closed for that sooner or later, whether or not its buffers are full: what Daphne says.
FOR_PINGS = """sudo journalctl --quiet --output cat --unit 'daphne@*' --since @{since:.0f} \\
| grep -F '"path": "/ws/rooms/{room}/"' | grep -c 'ping timeout'; true"""


class Throng:
    """Those of one operation. `facts` is what became of them."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts
        self.program: Program | None = None
        self.rooms: tuple[str, ...] = ()
        self.facts: dict[str, Any] = {}

    def come(self, wanted: dict[str, Any]) -> None:
        """Returns when `wanted` (count, rooms, receive_buffer) are subscribed. Raises LabError."""
        self.go()
        site = site_of(self.hosts, wanted["rooms"], USERS, "impact clients")
        self.rooms = site.rooms
        order = {"url": site.url, "cookie": site.cookie, "sessions": site.sessions} | wanted | {"rooms": site.rooms}
        self.program = Program(self.hosts, self.hosts.load, PROGRAM, order, f"the clients on {self.hosts.load.name}")
        wait_for([self.program], "ready", COME_IN_SECONDS)

    def do(self, deed: str) -> None:
        """`cut` or `stop-reading`; returns when it is over. Raises LabError."""
        if self.program is None:
            raise LabError(f"no clients are there who could {deed}")
        began = time.time()
        self.program.tell(do=deed)
        wait_for([self.program], "result", DO_SECONDS)
        self.facts = {"did": deed, **self.program.said["result"]}
        if deed == "stop-reading":
            counts = [self.hosts.run_all(self.hosts.app, FOR_PINGS.format(since=began, room=room)) for room in self.rooms]
            self.facts["for_pings"] = sum(int(count) for said in counts for count in said.values())
            if self.facts["for_pings"] >= self.facts["closed"]:
                raise LabError("no client was closed for what it did not read: their buffers were not filled")

    def taken(self) -> dict[str, Any]:
        """What became of them; once, so that it does not pass for another operation's."""
        facts, self.facts = self.facts, {}
        return facts

    def go(self) -> None:
        if self.program is not None:
            self.program.close()
            self.program = None
