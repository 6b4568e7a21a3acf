"""When each request should start, and what happens when it could not.

Stock Locust waits for an answer before it plans the next request, so a frozen server is sent less and looks
fast. Here the intended starts are fixed beforehand, on the monotonic clock, and latency counts from them:

* `poisson`: arrivals of an open population; each gets its own greenlet, up to a cap on requests in flight.
  An arrival above the cap is dropped and counted: the server was offered it and could not take it.
* `constant`: one caller with an absolute timetable, `t0 + phase + k / rate`. After a late answer it sends the
  overdue requests back to back until it has caught up.
"""

import itertools
import random
import time
from collections.abc import Callable, Iterator

import gevent
from gevent.pool import Group

PACINGS = ("poisson", "constant")

LATE_AFTER_SECONDS = 0.010
"""A wake-up this long after the intended start is the generator's fault and is counted as late."""


def poisson(rate: float, start: float, rng: random.Random) -> Iterator[float]:
    """Yield arrival times (seconds, same clock as `start`) of a Poisson process of `rate` per second."""
    moment = start
    while True:
        moment += rng.expovariate(rate)
        yield moment


def constant(rate: float, start: float, rng: random.Random) -> Iterator[float]:
    """Yield `start + phase + k / rate` for k = 0, 1, …; the phase is random so that many users spread out.

    Each time is computed from k, never from the time before, so rounding errors don't add up.
    """
    first = start + rng.random() / rate
    for k in itertools.count():
        yield first + k / rate


class Pacer:
    """Call `send(intended)` at each intended start until killed.

    `rate` is per second; `tally` is told what happened (see `Tally`); `in_flight` caps open requests (poisson).
    `send` must not raise: it records its own failure. Raises ValueError for a rate that is not above zero or a
    pacing that doesn't exist.
    """

    def __init__(
        self,
        send: Callable[[float], None],
        *,
        rate: float,
        tally: "Tally",
        pacing: str = "poisson",
        in_flight: int = 50,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if pacing not in PACINGS:
            raise ValueError(f"pacing is {pacing!r}, expected one of {', '.join(PACINGS)}")
        if rate <= 0:
            raise ValueError(f"rate is {rate}, expected more than 0 per second")
        if in_flight < 1:
            raise ValueError(f"in_flight is {in_flight}, expected at least 1")
        self._send = send
        self._rate = rate
        self._tally = tally
        self._pacing = pacing
        self._in_flight = in_flight
        self._rng = rng or random.Random()
        self._clock = clock
        self._open = Group()

    def run(self) -> None:
        """Send for ever. Ends only when its greenlet is killed."""
        if self._pacing == "poisson":
            self._run_open()
        else:
            self._run_with_catch_up()

    def stop(self) -> None:
        """Cut what is still in flight."""
        self._open.kill()

    def _run_open(self) -> None:
        for intended in poisson(self._rate, self._clock(), self._rng):
            self._tally.woke(intended, self._sleep_until(intended))
            if len(self._open) >= self._in_flight:
                self._tally.drop(intended)
                continue
            self._open.spawn(self._send, intended)

    def _run_with_catch_up(self) -> None:
        for intended in constant(self._rate, self._clock(), self._rng):
            if self._clock() > intended:
                self._tally.behind(intended)
            else:
                self._tally.woke(intended, self._sleep_until(intended))
            self._send(intended)

    def _sleep_until(self, moment: float) -> float:
        """Sleep until `moment` and return by how many seconds it was missed."""
        remaining = moment - self._clock()
        # Yield even when overdue: a burst must not starve the greenlets that read the answers.
        gevent.sleep(max(0.0, remaining))
        return self._clock() - moment


class Tally:
    """What a pacer reports. This one ignores it all; `recorder.Recorder` counts it."""

    def woke(self, intended: float, lateness: float) -> None:
        """A request starts `lateness` seconds after its intended start because of the generator."""

    def drop(self, intended: float) -> None:
        """A request was not sent: too many were in flight."""

    def behind(self, intended: float) -> None:
        """A request starts late because the answer before it took too long."""
