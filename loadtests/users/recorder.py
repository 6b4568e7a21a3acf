"""What one load process saw in its measured window, as a JSON document.

A request belongs to the window when its *intended start* lies in it, however late the answer came.

    {"format": 1,
     "window":    {"seconds": 6.0, "opened_unix": 1700000000.0},
     "series":    {name: {"kind": "GET", "count": 1, "failed": 0, "bytes": 27, "errors": {text: count},
                          "latency": HDR, "service": HDR}},       latency from the intended start
     "counters":  {"woken": …, "dropped": …, "late": …, "behind": …, "published": …, …},
     "lateness":  HDR,                                            how late the generator woke up
     "generator": {"cpu_seconds": …, "cpu_share": …, "users": …},
     "sockets":   {"expected": …, "open": …},
     "arguments": {…}}

HDR is HdrHistogram V2 base64 in microseconds. All clocks are monotonic seconds of this process.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import histograms
from .pacing import LATE_AFTER_SECONDS, Tally

FORMAT = 1
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
        self.sockets_open = 0
        self._sockets_at_close: tuple[int, int] | None = None
        self.outstanding = 0

    def open(self) -> None:
        """Start the measured window now."""
        self.opened_at = self._clock()
        self.closed_at = NEVER
        self._opened_unix = time.time()
        self._cpu_at_open = time.process_time()
        self._cpu_in_window = None

    def close(self) -> None:
        """End the measured window now. Answers still under way go on counting."""
        self.closed_at = self._clock()
        self._cpu_in_window = time.process_time() - self._cpu_at_open
        self._sockets_at_close = (self.sockets_expected, self.sockets_open)

    def in_window(self, intended: float) -> bool:
        return self.opened_at <= intended < self.closed_at

    def sending(self, intended: float) -> None:
        """A request is about to be sent; `answered` follows."""
        self.outstanding += self.in_window(intended)

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
        expected, open_sockets = self._sockets_at_close or (self.sockets_expected, self.sockets_open)
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
            },
            "sockets": {"expected": expected, "open": open_sockets},
            "arguments": arguments or {},
        }

    def write(self, path: str, arguments: dict[str, Any] | None = None) -> None:
        """Write the document whole or not at all. Raises OSError when the folder can't be written."""
        target = Path(path)
        unfinished = target.with_name(target.name + ".part")
        unfinished.write_text(json.dumps(self.as_dict(arguments)), encoding="utf-8")
        os.replace(unfinished, target)


RECORDER = Recorder()
"""The recorder of this process. All users write here."""
