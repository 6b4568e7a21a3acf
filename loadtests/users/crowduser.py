"""The Locust user around a crowd: accounts, rooms, source addresses, and the moment of a cut."""

import ipaddress
import math
import random
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import gevent

from .account import Account, AccountUser
from .crowd import PORTS_AN_ADDRESS, Crowd
from .member import Member
from .problems import NotReady
from .recorder import RECORDER
from .tls import unverified
from .watch import look
from .window import OPENED_A_SECOND

MEMBERS_AN_ACCOUNT = 50
"""The demo lets a user hold 100 sockets per server process."""

OPEN_MORE_SECONDS = 15


class CrowdUser(AccountUser):
    """Holds `--members` sockets and paces nothing. There is one, beside the `-u` others; with two Locust workers it has its own."""

    fixed_count = 1
    apart = True

    def members_in_all(self) -> int:
        return self.options.members

    def loads(self) -> list[Any]:
        return []

    def prepare(self) -> None:
        count = self.members_in_all() // self.fixed_count
        self.crowd: Crowd | None = None
        if not count:
            return
        super().prepare()
        self.enough_room(count)
        accounts = self.accounts(math.ceil(count / MEMBERS_AN_ACCOUNT))
        cookies = [account.cookie_header() for account in accounts]
        rooms = self.rooms()
        newest = {room: self.enter_room(room) for room in rooms}
        # A room's members are spread over the accounts, and an account's over the rooms.
        places = [(rooms[i % len(rooms)], cookies[(i // len(rooms)) % len(cookies)]) for i in range(count)]
        members = [Member(room, cookie, newest[room]) for room, cookie in places]
        self.crowd = Crowd(
            self.host,
            members,
            tls=unverified(),
            addresses=self.source_addresses(count),
            chance=random.Random(f"{self.options.seed}-crowd") if self.options.seed else None,
            on_back=self.back,
            on_cut=self.was_cut,
            on_loss=self.loss,
        )
        self.running = gevent.spawn(self.crowd.run)
        self.wait_until_open(count)
        RECORDER.sockets_expected += count
        for member in members:
            RECORDER.members[member.room] += 1

    def accounts(self, count: int) -> list[Account]:
        return [self.account, *(self.new_account(place) for place in range(1, count))]

    def wait_until_open(self, count: int) -> None:
        deadline = time.monotonic() + OPEN_MORE_SECONDS + count / OPENED_A_SECOND
        while self.crowd.open < count and time.monotonic() < deadline and not self.running.dead:
            gevent.sleep(0.05)
        if self.crowd.open < count:
            why = next((f": {text}" for text, _ in self.crowd.problems.most_common(1)), "")
            self.running.kill()
            raise NotReady(f"{self.crowd.open} of {count} sockets of the crowd are open{why}")

    def source_addresses(self, count: int) -> list[str]:
        """The addresses that the crowd connects from; on loopback as many as it takes."""
        if self.options.source_addresses:
            return self.options.source_addresses.split()
        target = ipaddress.ip_address(socket.gethostbyname(urlsplit(self.host).hostname or ""))
        if not target.is_loopback:
            return []
        return [f"127.0.0.{number + 2}" for number in range(math.ceil(count / PORTS_AN_ADDRESS))]

    def enough_room(self, count: int) -> None:
        """Raises NotReady when this machine has too few open files or ports for the crowd."""
        now = look()
        files = now["open_files_limit"] - now["open_files"]
        if count > files - 50:
            raise NotReady(f"{count} members need as many open files, {files} are left: raise `ulimit -n` or lower --members")
        addresses = max(1, len(self.source_addresses(count)))
        if count > addresses * now["ports_limit"] - now["ports"]:
            raise NotReady(f"{count} members need as many ports, {addresses} source addresses have fewer: --source-addresses")

    def back(self, cut_at: float, now: float) -> None:
        """A member has its first message again."""
        if RECORDER.in_window(cut_at):
            RECORDER.outstanding += 1  # `answered` takes it away again
            RECORDER.answered("BACK", "back", cut_at, cut_at, now)
            RECORDER.returning -= 1

    def was_cut(self, at: float) -> None:
        """A member that was open is no longer."""
        if RECORDER.in_window(at):
            RECORDER.counters["cut"] += 1
            RECORDER.returning += 1

    def loss(self, why: str) -> None:
        now = time.monotonic()
        self.report("SOCKET", "crowd", now, now, error=why)

    def on_stop(self) -> None:
        super().on_stop()
        if self.crowd and self.is_ready:
            RECORDER.sockets_expected -= len(self.crowd.members)
            for member in self.crowd.members:
                RECORDER.members[member.room] -= 1
            self.running.kill()
            self.crowd.close()


class StormUser(CrowdUser):
    """A crowd that is cut when the window opens (`--cut client`), or by something outside (`--cut none`)."""

    def prepare(self) -> None:
        super().prepare()
        if self.crowd and self.options.cut == "client":
            self.cutter = gevent.spawn(self.cut_when_open)

    def cut_when_open(self) -> None:
        while not RECORDER.in_window(time.monotonic()):
            gevent.sleep(0.01)
        self.crowd.cut()
        # Something to come back to: the probes may be quiet for longer than a socket is away.
        for room in self.rooms():
            self.publish(time.monotonic(), room, self.post)

    def loss(self, why: str) -> None:
        """What the scenario is about, so no error: counted."""
        RECORDER.count("refused", time.monotonic())


class IsolationCrowd(CrowdUser):
    """The readers of the storm."""

    def members_in_all(self) -> int:
        return self.options.storm_members
