"""One line per trial, with the time that remains."""

import sys
import time
from typing import Any, TextIO

UNITS = {"request": "req", "delivery": "msg", "socket": "sockets", "return": "back"}


class Progress:
    """`expected` is how many seconds all trials that are left should take; what they do take corrects it."""

    def __init__(self, expected: float, stream: TextIO = sys.stderr) -> None:
        self.left, self.stream = expected, stream
        self._passed, self._began = 0.0, time.monotonic()

    @property
    def pace(self) -> float:
        """Seconds that a second of the expectation has taken so far."""
        return (time.monotonic() - self._began) / self._passed if self._passed else 1.0

    def start(self) -> None:
        """The trials begin now."""
        self._began = time.monotonic()

    def advance(self, expected: float) -> None:
        """Something that should have taken so long is done, or will not be done."""
        self._passed += expected
        self.left -= expected

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def trial(self, row: dict[str, Any], rounds: int, expected: float) -> None:
        """Report a finished trial."""
        self.advance(expected)
        name = row["candidate"] + (" (twin)" if row["twin"] else "")
        head = f"  {row['scenario']:<9} {row['round']}/{rounds}  {name:<20}"
        self.say(f"{head} {outcome(row):<62} {self.remaining()}")

    def remaining(self) -> str:
        return f"{duration(max(0, self.left * self.pace))} left"

    def point(self, scenario: str, candidate: str, point: dict[str, Any], expected: float) -> None:
        """Report a step of a capacity search."""
        self.advance(expected)
        found = "held" if point["held"] else f"broke: {point['why']}"
        self.say(
            f"  {scenario:<9} capacity {candidate:<20} {point['rate']:>7,.0f}/s {found:<58} {duration(max(0, self.left * self.pace))} left"
        )


def outcome(row: dict[str, Any]) -> str:
    if not row["valid"]:
        return f"INVALID: {row['reasons'][0]}"
    unit = UNITS[row["unit"]]
    if row["unit"] == "socket":
        memory = row["memory_kib_per_unit"]
        return f"{row['units']:5.0f} {unit}   {'memory unknown' if memory is None else f'{memory:,.1f} KiB each'}"
    p99 = row["latency_ms"]["p99"]
    return f"{row['units'] / row['seconds']:5.0f} {unit}/s   p99 {p99 or 0:7,.1f} ms   {row['cpu_us_total']:6,.0f} µs CPU/{unit}"


def duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
