"""What one load process saw in its measured window, as a JSON document; `merge` adds up those of several.

A request belongs to the window when its *intended start* lies in it, however late the answer came.

    {"format": 2,
     "window":    {"seconds": 6.0, "opened_unix": 1700000000.0},
     "series":    {name: {"kind": "GET", "count": 1, "failed": 0, "bytes": 27, "errors": {text: count},
                          "latency": HDR, "service": HDR}},       latency from the intended start
     "counters":  {"woken": …, "dropped": …, "late": …, "behind": …, "published": …, "deliveries": …,
                   "deliveries_expected": …, "lost": …, "duplicates": …, "out_of_order": …, "received_bytes": …, "cut": …, …},
     "lateness":  HDR,                                            how late the generator woke up
     "generator": {"cpu_seconds": …, "cpu_share": …, "users": …, "processes": 1, "host": …, "cpus": …,
                   "open_files": …, "open_files_limit": …, "ports": …, "ports_limit": …},
     "sockets":   {"expected": …, "opened": …, "open": …},        WebSockets, streams and MQTT sessions
     "in_flight": {series: 0.8},                                  requests under way, on average over the window
     "rooms":     {room: {"members": …, "published": …}},         readers, and messages of the window
     "arguments": {…}}

HDR is HdrHistogram V2 base64 in microseconds. All clocks are monotonic seconds of this process. `cpu_share` is of the CPU
that the busiest process has, or of all CPUs of its machine where that is more. `ports` are those of the source address that
has taken most, connections in TIME_WAIT included. `open` is counted when the window closes; after a cut, when all are back.
`opened` counts each opening, so it is more than `expected` after a loss.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from . import histograms, watch
from .pacing import LATE_AFTER_SECONDS, Tally

FORMAT = 2
NEVER = float("inf")
LONGEST_ERROR = 200


class Series:
    """One kind of request: its durations and outcomes."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.count = 0
        self.bytes = 0
        self.errors: Counter[str] = Counter()
        self.latency = histograms.empty()
        self.service = histograms.empty()

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "count": self.count,
            "failed": self.errors.total(),
            "bytes": self.bytes,
            "errors": dict(self.errors.most_common(20)),
            "latency": histograms.encode(self.latency),
            "service": histograms.encode(self.service),
        }


class Flights:
    """How many requests of one series are under way, summed up over the window."""

    def __init__(self) -> None:
        self.now, self.since, self.area = 0, 0.0, 0.0

    def change(self, by: int, at: float, opened: float, closed: float) -> None:
        self.area += self.now * max(0.0, min(at, closed) - max(self.since, opened))
        self.now += by
        self.since = at


class Recorder(Tally):
    """Collects the numbers of all users of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget everything; the window is closed until `open` is called."""
        self.opened_at = NEVER
        self.closed_at = NEVER
        self._opened_unix = 0.0
        self._cpu_at_open = 0.0
        self._cpu_in_window: float | None = None
        self.series: dict[str, Series] = {}
        self.counters: Counter[str] = Counter()
        self.lateness = histograms.empty()
        self.ready_users = 0
        self.refusals: list[str] = []  # why users could not start
        self.sockets_expected = 0
        self.sockets_opened = 0
        self.sockets_open = 0
        self.members: Counter[str] = Counter()  # readers of each room
        self.published: Counter[str] = Counter()  # acknowledged messages of the window, by room
        self._at_close: dict[str, Any] | None = None
        self.outstanding = 0
        self.flights: dict[str, Flights] = {}
        self.returning = 0  # sockets that were cut in the window and have no message again

    def open(self) -> None:
        """Start the measured window now."""
        self.opened_at = self._clock()
        self.closed_at = NEVER
        self._opened_unix = time.time()
        self._cpu_at_open = time.process_time()
        self._cpu_in_window = None
        self._at_close = None

    def close(self) -> None:
        """End the measured window now. Answers still under way go on counting."""
        self.closed_at = self._clock()
        self._cpu_in_window = time.process_time() - self._cpu_at_open
        self._at_close = self._state()

    def _sockets(self) -> dict[str, int]:
        return {"expected": self.sockets_expected, "opened": self.sockets_opened, "open": self.sockets_open}

    def _state(self) -> dict[str, Any]:
        """What is true at a moment, not summed up over the window."""
        return {
            "sockets": self._sockets(),
            "members": dict(self.members),
            "machine": watch.look(),
        }

    def in_window(self, intended: float) -> bool:
        return self.opened_at <= intended < self.closed_at

    def sending(self, intended: float) -> None:
        """A request is about to be sent; `answered` follows."""
        self.outstanding += self.in_window(intended)

    @contextlib.contextmanager
    def flight(self, name: str) -> Iterator[None]:
        """A request of a series is under way meanwhile. Counted as it comes and goes, not from its latency: Little's law
        compares the two."""
        flights = self.flights.setdefault(name, Flights())
        flights.change(1, self._clock(), self.opened_at, self.closed_at)
        try:
            yield
        finally:
            flights.change(-1, self._clock(), self.opened_at, self.closed_at)

    def _in_flight(self, closed: float, seconds: float) -> dict[str, float]:
        for flights in self.flights.values():
            flights.change(0, closed, self.opened_at, closed)
        return {name: flights.area / seconds for name, flights in sorted(self.flights.items())} if seconds else {}

    def answered(self, kind: str, name: str, intended: float, started: float, finished: float, *, size: int = 0, error: str = "") -> None:
        """One request ended. `size` is bytes of body; `error` is empty when the answer was the right one.

        A failure counts as a request and an error; only right answers enter the histograms.
        """
        if not self.in_window(intended):
            return
        self.outstanding -= 1
        series = self.series.get(name)
        if series is None:
            series = self.series[name] = Series(kind)
        series.count += 1
        series.bytes += size
        if error:
            series.errors[error[:LONGEST_ERROR]] += 1
            return
        histograms.record(series.latency, finished - intended)
        histograms.record(series.service, finished - started)

    def count(self, counter: str, intended: float, by: int = 1) -> None:
        """Add to a counter if `intended` lies in the window."""
        if self.in_window(intended):
            self.counters[counter] += by

    def woke(self, intended: float, lateness: float) -> None:
        if not self.in_window(intended):
            return
        self.counters["woken"] += 1
        self.counters["late"] += lateness > LATE_AFTER_SECONDS
        histograms.record(self.lateness, lateness)

    def drop(self, intended: float) -> None:
        self.count("dropped", intended)

    def behind(self, intended: float) -> None:
        self.count("behind", intended)

    def as_dict(self, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
        closed = self.closed_at if self.closed_at != NEVER else self._clock()
        seconds = closed - self.opened_at if self.opened_at != NEVER else 0.0
        cpu = self._cpu_in_window
        if cpu is None:
            cpu = time.process_time() - self._cpu_at_open
        state = self._at_close or self._state()
        if self.counters["cut"]:
            # A storm is over when they are back, which may be after the window.
            state = state | {"sockets": self._sockets()}
        rooms = {*state["members"], *self.published}
        return {
            "format": FORMAT,
            "window": {"seconds": seconds, "opened_unix": self._opened_unix},
            "series": {name: series.as_dict() for name, series in sorted(self.series.items())},
            "counters": dict(self.counters),
            "lateness": histograms.encode(self.lateness),
            "generator": {
                "cpu_seconds": cpu,
                "cpu_share": cpu / seconds if seconds else 0.0,
                "users": self.ready_users,
                "processes": 1,
                **state["machine"],
            },
            "sockets": state["sockets"],
            "in_flight": self._in_flight(closed, seconds),
            "rooms": {r: {"members": state["members"].get(r, 0), "published": self.published[r]} for r in sorted(rooms)},
            "arguments": arguments or {},
        }


RECORDER = Recorder()
"""The recorder of this process. All users write here."""
