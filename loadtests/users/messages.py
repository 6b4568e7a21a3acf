"""What the load writes into a message, and how a receiver checks the sequence of what it gets."""

from pathlib import Path
from typing import NamedTuple

from .recorder import RECORDER


def clock_name(path: str = "/proc/sys/kernel/random/boot_id") -> str:
    """Eight characters that name this machine's monotonic clock: all of its processes share it, other machines don't."""
    return Path(path).read_text(encoding="ascii").replace("-", "")[:8]


CLOCK = clock_name()


class Mark(NamedTuple):
    """What a message of the load says about itself."""

    measured: bool  # its publishing was meant to begin in the measured window
    intended: float | None  # monotonic seconds; None when another machine's clock wrote it


def mark(intended: float, measured: bool) -> str:
    """The text of a message: `<clock>+<intended start>`, or `-` outside the window."""
    return f"{CLOCK}{'+' if measured else '-'}{intended:.6f}"


def read_mark(text: str) -> Mark | None:
    """The mark of a message's text; None for a message that no load wrote."""
    if len(text) < 10 or text[8] not in "+-":
        return None
    try:
        moment = float(text[9:])
    except ValueError:
        return None
    return Mark(text[8] == "+", moment if text[:8] == CLOCK else None)


class Sequence:
    """The numbers that one reader gets: each once, in order, without gaps. What is not so is counted.

    A number that is skipped counts as lost; if it comes after all, it counts as out of order instead.
    """

    __slots__ = ("last", "missing")

    def __init__(self, last: int = 0) -> None:
        self.last = last
        self.missing: set[int] = set()

    def take(self, number: int, at: float) -> bool:
        """Note a number that arrived at `at` (monotonic seconds); False if it had been there before."""
        if number > self.last:
            if number > self.last + 1:
                self.missing.update(range(self.last + 1, number))
                RECORDER.count("lost", at, number - self.last - 1)
            self.last = number
            return True
        if number in self.missing:
            self.missing.discard(number)
            RECORDER.count("lost", at, -1)
            RECORDER.count("out_of_order", at)
            return True
        RECORDER.count("duplicates", at)
        return False
