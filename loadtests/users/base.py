"""What all paced users share: a pacer that runs until the user stops, and honest reporting of each answer."""

import random
import time
from collections.abc import Callable
from typing import Any

import gevent
from locust import task
from locust.contrib.fasthttp import FastHttpUser
from locust.exception import StopUser

from . import tabs, window  # noqa: F401  (they register their Locust listeners and the arguments)
from .dispatch import crowds
from .pacing import Pacer
from .problems import NotReady, WrongAnswer, describe
from .recorder import RECORDER


class PacedUser(FastHttpUser):
    """A user whose requests start at planned times.

    Subclasses give `rate()` and `send(intended)`, or several such pairs with `loads()`, and may extend `prepare()`
    (log in, connect). A user class that paces nothing, the crowd, gives no pair.
    """

    abstract = True

    network_timeout = 30.0
    """Seconds until an unanswered request fails."""

    connection_timeout = 10.0

    def __init__(self, environment: Any) -> None:
        options = environment.parsed_options
        # A smaller pool than the cap would be a queue that nobody sees.
        self.concurrency = options.in_flight
        super().__init__(environment)
        self.options = options
        self.host = (self.host or "").rstrip("/")
        self.client.base_url = self.host
        self.number = next_number() + WORKER_STRIDE * max(0, getattr(environment.runner, "worker_index", 0))
        self.pacers: list[Pacer] = []
        self.is_ready = False

    def random_for(self, purpose: str) -> random.Random:
        """A source of chance for one purpose, so that the arrivals of a seed stay the same whatever else is drawn."""
        seed = self.options.seed
        return random.Random(f"{seed}-{self.number}-{purpose}" if seed else None)

    def rate(self) -> float:
        """Requests per second of this user."""
        raise NotImplementedError

    def send(self, intended: float) -> None:
        """Send one request and report it with `self.report`. Must not raise."""
        raise NotImplementedError

    def loads(self) -> list[tuple[str, float, Callable[[float], None]]]:
        """What this user sends: a purpose (its arrivals have a seed of their own), requests per second, what to do."""
        return [("arrivals", self.rate(), self.send)]

    def paced_users(self) -> int:
        """How many of all users of the test pace: all but the crowds."""
        return max(1, self.options.users_in_all - crowds(self.environment))

    def prepare(self) -> None:
        """Do what must be done once before the load. Raise `NotReady` with the reason if it can't be."""

    def on_start(self) -> None:
        try:
            self.prepare()
        except (NotReady, ValueError) as error:
            now = time.monotonic()
            self.report("SETUP", "prepare", now, now, error=str(error))
            RECORDER.refusals.append(str(error))
            return
        try:
            self.pacers = [
                Pacer(
                    send,
                    rate=rate,
                    tally=RECORDER,
                    pacing=self.options.pacing,
                    in_flight=self.options.in_flight,
                    rng=self.random_for(purpose),
                )
                for purpose, rate, send in self.loads()
            ]
        except ValueError as error:
            RECORDER.refusals.append(str(error))
            return
        self.is_ready = True
        RECORDER.ready_users += 1

    @task
    def load(self) -> None:
        if not self.is_ready:
            raise StopUser()
        running = [gevent.spawn(pacer.run) for pacer in self.pacers]
        try:
            if running:
                gevent.joinall(running, raise_error=True)
            gevent.sleep(FOR_EVER_SECONDS)
        finally:
            gevent.killall(running)

    def on_stop(self) -> None:
        for pacer in self.pacers:
            pacer.stop()

    def report(self, kind: str, name: str, intended: float, started: float, *, size: int = 0, error: str = "") -> None:
        """Tell the recorder and Locust's own statistics; both get the latency from the intended start."""
        finished = time.monotonic()
        RECORDER.answered(kind, name, intended, started, finished, size=size, error=error)
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=(finished - intended) * 1000,
            response_length=size,
            exception=WrongAnswer(error) if error else None,
            context={},
        )

    def request(self, kind: str, path: str, check: Any, *, name: str, intended: float, **options: Any) -> Any:
        """Send one HTTP request, check the answer with `check(response) -> error text or ""`, and report it.

        Returns the response, or None when there was a failure. Never raises.
        """
        RECORDER.sending(intended)
        started = time.monotonic()
        try:
            with RECORDER.flight(name):
                response = self.client.client.urlopen(self.host + path, method=kind, **options)
                error = check(response)
                size = len(response.content or b"")
        except Exception as failure:
            response, size, error = getattr(failure, "response", None), 0, describe(failure)
        self.report(kind, name, intended, started, size=size, error=error)
        return None if error else response

    def exchange(self, kind: str, name: str, intended: float, do: Callable[[], tuple[str, int]]) -> None:
        """Do one exchange that is not Locust's own client's; `do` returns an error text, or "", and bytes. Never raises."""
        RECORDER.sending(intended)
        started = time.monotonic()
        try:
            with RECORDER.flight(name):
                error, size = do()
        except Exception as failure:
            error, size = describe(failure), 0
        self.report(kind, name, intended, started, size=size, error=error)


WORKER_STRIDE = 100_000
"""Users of the next Locust worker are numbered from here on, so that no two have the same seed."""

FOR_EVER_SECONDS = 10**6

_numbers = iter(range(1, 10**9))


def next_number() -> int:
    """A number for each user of this process, from 1."""
    return next(_numbers)
