"""What all paced users share: a pacer that runs until the user stops, and honest reporting of each answer."""

import random
import time
from typing import Any

from locust import task
from locust.contrib.fasthttp import FastHttpUser
from locust.exception import StopUser

from . import window  # noqa: F401  (registers its Locust listeners and the arguments)
from .pacing import Pacer
from .recorder import RECORDER


class PacedUser(FastHttpUser):
    """A user whose requests start at planned times.

    Subclasses give `rate()` and `send(intended)`, and may extend `prepare()` (log in, connect).
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
        self.number = next_number()
        self.rng = self.random_for("arrivals")
        self.pacer: Pacer | None = None

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
        self.pacer = Pacer(
            self.send,
            rate=self.rate(),
            tally=RECORDER,
            pacing=self.options.pacing,
            in_flight=self.options.in_flight,
            rng=self.rng,
        )
        RECORDER.ready_users += 1

    @task
    def load(self) -> None:
        if not self.pacer:
            raise StopUser()
        self.pacer.run()

    def on_stop(self) -> None:
        if self.pacer:
            self.pacer.stop()

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
            response = self.client.client.urlopen(self.host + path, method=kind, **options)
            error = check(response)
            size = len(response.content or b"")
        except Exception as failure:
            response, size, error = getattr(failure, "response", None), 0, describe(failure)
        self.report(kind, name, intended, started, size=size, error=error)
        return None if error else response


class NotReady(Exception):
    """A user can't start; the text says why and what to do."""


class WrongAnswer(Exception):
    """An answer that is not the one expected."""


def describe(failure: Exception) -> str:
    """A failure as one line that groups well: the type and the first line of its text."""
    code = getattr(failure, "code", None) or getattr(failure, "kw", {}).get("code")
    text = str(failure).splitlines()[0] if str(failure) else ""
    return f"{type(failure).__name__}: status {code}" if code else f"{type(failure).__name__}: {text}"


_numbers = iter(range(1, 10**9))


def next_number() -> int:
    """A number for each user of this process, from 1."""
    return next(_numbers)
