"""One check: publishers on two hosts, subscribers on the load host, restarts in the middle; a verdict."""

import contextlib
import json
import queue
import random
import secrets
import shlex
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from loadtests.lab.errors import LabError
from loadtests.lab.hosts import CODE, Host, Hosts

PYTHON = f"{Path(CODE).parent}/venv/bin/python"
RATE = 50.0  # messages a second, of both publishers together
USERS = 20  # whose sessions are dealt out to the subscribers: one user may hold so many connections only
READY_SECONDS = 60
SLOWER = 4  # so many times the planned time a busy machine may take to publish
MARGIN_SECONDS = 600  # … and this for publishers that wait out a restart, and subscribers that catch up
CLOCKS_SECONDS = 0.5
HTTP_TRANSPORTS = ["refresh", "poll", "longpoll", "frame", "events"]


class Program:
    """A program on a host that reads lines of JSON and says lines of JSON; the last one of each key is in `said`."""

    def __init__(self, hosts: Hosts, host: Host, command: str, order: dict[str, Any], name: str) -> None:
        self.name, self.said, self.lines = name, {}, queue.Queue()
        self.process = hosts.start(host, command)
        self.errors: list[str] = []
        for stream, take in ((self.process.stdout, self._take), (self.process.stderr, self.errors.append)):
            threading.Thread(target=self._read, args=(stream, take), daemon=True).start()
        self.tell(**order)

    def _read(self, stream: Any, take: Callable[[str], None]) -> None:
        for line in stream:
            take(line)

    def _take(self, line: str) -> None:
        with contextlib.suppress(ValueError):
            self.said.update(json.loads(line) | {"heard": time.time()})

    def tell(self, **what: Any) -> None:
        self.write(json.dumps(what))

    def write(self, line: str) -> None:
        with contextlib.suppress(OSError):  # it has ended: `check` says so
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def check(self) -> None:
        """Raise LabError if it has failed, or ended before its work was done."""
        if "failed" in self.said:
            raise LabError(f"{self.name}: {self.said['failed']}")
        if self.process.poll() is not None and not self.said.keys() & {"done", "result"}:
            raise LabError(
                f"{self.name} ended early: {''.join(self.errors[-3:]).strip() or 'no message'}. Is this checkout deployed? make deploy"
            )

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()


def wait_for(programs: list[Program], key: str, seconds: float, progress: Callable[[], None] = lambda: None) -> None:
    """Return when each program has said `key`. Raises LabError when one fails or `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while not all(key in program.said for program in programs):
        for program in programs:
            program.check()
        if time.monotonic() > deadline:
            late = ", ".join(program.name for program in programs if key not in program.said)
            raise LabError(f"not {key} after {seconds:.0f} s: {late}. Look at: make status")
        progress()
        time.sleep(0.2)


class Check:
    """What is checked, on which hosts. `say` shows progress."""

    def __init__(self, hosts: Hosts, events: int, subscribers: int, say: Callable[[str], None]) -> None:
        self.hosts, self.events, self.subscribers, self.say = hosts, events, subscribers, say
        self.seconds = events / RATE
        self.room = f"feed-check-{secrets.token_hex(4)}"
        facts = hosts.app[0].variables
        self.topology = facts["topologies"][facts["topology"]]
        self.topology_name = facts["topology"]
        carried = HTTP_TRANSPORTS + (["websocket"] if self.topology["websocket"] != "none" else [])
        self.transports = carried + (["mqtt"] if hosts.in_group("mosquitto") and facts["application_mqtt_users"] else [])
        if subscribers < len(self.transports):
            least = f"expected at least {len(self.transports)}, one for each transport, as in: make feed-check SUBSCRIBERS=200"
            raise LabError(f"SUBSCRIBERS is {subscribers}; {least}")
        self.limit = SLOWER * self.seconds + MARGIN_SECONDS

    def run(self) -> dict[str, Any]:
        programs: list[Program] = []
        try:
            sessions = json.loads(self.hosts.make_sessions(USERS + 2))
            publishers = self.start_publishers(sessions)
            programs += publishers
            wait_for(publishers, "ready", READY_SECONDS)
            readers = self.start_subscribers(sessions)
            programs.append(readers)
            wait_for([readers], "ready", READY_SECONDS)
            self.compare_clocks(programs)
            time.sleep(2)
            readers.tell(go=True)
            for publisher in publishers:
                publisher.write("go")
            self.publish(publishers, readers)
            # Who ended last has seen all of it.
            newest = max(publisher.said["newest"] or 0 for publisher in publishers)
            readers.tell(newest=self.events)
            wait_for([readers], "result", MARGIN_SECONDS, self.shower("catching up", publishers, readers))
            return {
                "rows": readers.said["result"],
                "faults": faults_of(publishers, newest, self.events, readers.said["texts"]),
                "retries": sum(publisher.said["retries"] for publisher in publishers),
                "repeats": sum(publisher.said["repeats"] for publisher in publishers),
            }
        finally:
            for program in programs:
                program.close()

    def start_publishers(self, sessions: dict[str, Any]) -> list[Program]:
        """One on the load host, one on the last app host: none of the hosts whose servers are restarted, where there are two."""
        source = (Path(__file__).parent / "publisher.py").read_text()
        command = f"exec timeout {self.limit:.0f} python3 -c {shlex.quote(source)}"
        programs = []
        for number, host in enumerate((self.hosts.load, self.hosts.app[-1])):
            count = self.events // 2 + (self.events % 2 if number == 0 else 0)
            order = self.site() | {
                "cookie": sessions["cookie"], "session": sessions["sessions"][number]["session"], "publisher": host.name,
                "count": count, "rate": RATE / 2, "make_room": number == 0,
            }  # fmt: skip
            programs.append(Program(self.hosts, host, command, order, f"the publisher on {host.name}"))
            wait_for(programs, "ready", READY_SECONDS)  # the first one makes the room
        return programs

    def start_subscribers(self, sessions: dict[str, Any]) -> Program:
        order = {
            "site": self.site() | {"cookie": sessions["cookie"], "mqtt": self.mqtt()},
            "sessions": [entry["session"] for entry in sessions["sessions"][2:]],
            "transports": self.transports, "subscribers": self.subscribers, "events": self.events, "seconds": self.seconds,
            "seed": random.SystemRandom().randrange(2**31),
        }  # fmt: skip
        module = "-m gevent.monkey --module loadtests.feedcheck.subscribers"
        command = f"cd {CODE} && ulimit -n $(ulimit -Hn); exec timeout {self.limit:.0f} {PYTHON} {module}"
        return Program(self.hosts, self.hosts.load, command, order, f"the subscribers on {self.hosts.load.name}")

    def site(self) -> dict[str, Any]:
        edge = self.hosts.edge
        authority = self.hosts.inventory / "pki/ca.crt"
        return {
            "name": edge.name, "address": edge.variables["ansible_host"], "port": self.hosts.https_port(),
            "room": self.room, "ca": authority.read_text() if authority.is_file() else "",
        }  # fmt: skip

    def mqtt(self) -> dict[str, Any]:
        if "mqtt" not in self.transports:
            return {}
        broker = self.hosts.first("mosquitto").variables
        user = broker["application_mqtt_users"][0]
        secret = self.hosts.mqtt_password(user)
        if secret is None:
            raise LabError(f"The MQTT user {user} has no password. Deploy first: make deploy")
        port = broker["application_mqtt_broker"]["port"]
        return {"host": broker["ansible_host"], "port": port, "user": user, "password": secret}

    def compare_clocks(self, programs: list[Program]) -> None:
        """Delays are differences of two hosts' clocks: say it where these disagree."""
        offsets = [program.said["clock"] - program.said["heard"] for program in programs]
        if max(offsets) - min(offsets) > CLOCKS_SECONDS:
            self.say(f"  note: the clocks of the hosts differ by up to {max(offsets) - min(offsets):.1f} s, and so do the delays below")

    def publish(self, publishers: list[Program], readers: Program) -> None:
        """Wait until all is published; restart an application server after a quarter of it, Redis after a half."""
        server = self.topology["websocket"] if self.topology["websocket"] != "none" else self.topology["http"]
        units = self.hosts.run(self.hosts.app[0], f"systemctl list-units --state=active --plain --no-legend '{server}*.service'").split()
        if not units:
            raise LabError(f"no {server} is running on {self.hosts.app[0].name}. Look at: make status")
        # The server takes its time: it drains. There is enough left to be published when it is back.
        waiting = [
            (self.events // 4, self.hosts.app[0], units[0]),
            (self.events // 2, self.hosts.first("redis"), "redis-server.service"),
        ]
        show = self.shower("publishing", publishers, readers)
        with ThreadPoolExecutor(len(waiting)) as pool:
            begun: list[Future[None]] = []

            def progress() -> None:
                show()
                readers.check()
                published = sum(publisher.said.get("published", 0) for publisher in publishers)
                while waiting and published >= waiting[0][0]:
                    begun.append(pool.submit(self.restart, *waiting.pop(0)[1:]))

            wait_for(publishers, "done", self.limit, progress)
            progress()
            for restart in begun:
                restart.result()

    def restart(self, host: Host, unit: str) -> None:
        self.say(f"  restarting {unit} on {host.name}")
        begun = time.monotonic()
        self.hosts.run(host, f"sudo systemctl restart {shlex.quote(unit)}")
        self.say(f"  restarted {unit} on {host.name} in {time.monotonic() - begun:.0f} s")

    def shower(self, word: str, publishers: list[Program], readers: Program) -> Callable[[], None]:
        shown = 0.0

        def show() -> None:
            nonlocal shown
            if time.monotonic() - shown >= 5:
                shown = time.monotonic()
                published = sum(publisher.said.get("published", 0) for publisher in publishers)
                received, wanted = readers.said.get("received", 0), self.events * self.subscribers
                self.say(f"  {word}: {published} of {self.events} published, {received:,} of {wanted:,} received")

        return show


def faults_of(publishers: list[Program], newest: int, events: int, texts: dict[str, str]) -> list[str]:
    """What is wrong with what is stored, in words."""
    faults = []
    stored = [number for publisher in publishers for number in publisher.said["stored"]]
    if newest != events or sorted(stored) != list(range(1, events + 1)):
        faults.append(f"{events} messages were published and acknowledged under {len(set(stored))} ids; the room's newest is {newest}")
    if wrong := sum(publisher.said["wrong_repeats"] for publisher in publishers):
        faults.append(f"{wrong} messages that were sent again with their key were stored again")
    for publisher in publishers:
        if publisher.said["stored"] != sorted(publisher.said["stored"]):
            faults.append(f"{publisher.name}: its messages are not in its order")
        host = publisher.name.rsplit(" ", 1)[1]
        for number, identity in enumerate(publisher.said["stored"], 1):
            if not texts.get(str(identity), "").startswith(f"{host} {number} "):
                faults.append(f"id {identity} was read as {texts.get(str(identity))!r}; it is message {number} of {host}")
                break
    return faults
