"""One line per trial, with the time that remains."""

import sys
import time
from typing import Any, TextIO


class Progress:
    def __init__(self, total: int, done: int = 0, guess_seconds: float = 12.0, stream: TextIO = sys.stderr) -> None:
        self.total, self.done, self.stream = total, done, stream
        self._guess, self._began, self._at_start = guess_seconds, time.monotonic(), done

    @property
    def seconds_each(self) -> float:
        """Seconds a trial has taken so far, on average; the guess before the first."""
        fresh = self.done - self._at_start
        return (time.monotonic() - self._began) / fresh if fresh else self._guess

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def trial(self, row: dict[str, Any], rounds: int) -> None:
        """Report a finished trial."""
        self.done += 1
        left = (self.total - self.done) * self.seconds_each
        name = row["topology"] + (" (twin)" if row["twin"] else "")
        head = f"  round {row['round']}/{rounds}  {row['scenario']:<7} {name:<14}"
        self.say(f"{head} {outcome(row):<64} {duration(left)} left")


def outcome(row: dict[str, Any]) -> str:
    if not row["valid"]:
        return f"INVALID: {row['reasons'][0]}"
    rate = row["units"] / row["seconds"]
    p99 = row["latency_ms"]["p99"]
    unit = {"request": "req", "delivery": "msg"}.get(row["unit"], row["unit"])
    return f"{rate:5.0f} {unit}/s   p99 {p99:7,.1f} ms   {row['cpu_us_total']:6,.0f} µs CPU/{unit}"


def duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
