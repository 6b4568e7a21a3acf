"""What one subscriber was given: counts what is wrong with it, and hides nothing."""

import random
from array import array
from dataclasses import dataclass, field

NOW = {42}  # hundreds of close codes: come back at once
BACK_OFF = {41}
NEVER = {40}
REPLACED = 1012
BACK_OFF_SECONDS = 10
PAUSE_FIRST, PAUSE_MOST = 0.5, 10.0


@dataclass
class Tally:
    """Everything that came, in the order in which it came. `last` is where the subscriber resumes."""

    last: int = 0
    received: int = 0
    duplicated: int = 0
    disordered: int = 0
    altered: int = 0
    reconnects: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    delays: array = field(default_factory=lambda: array("d"))
    counts_from: float = float("inf")
    """Delays count for messages sent after this moment: not for what was missed before joining or on purpose."""

    def take(self, number: int, text: str, now: float, said: dict[int, str]) -> None:
        """Count one message. `said` is what other subscribers read under the same ids."""
        self.received += 1
        if number in self.seen:
            self.duplicated += 1
        elif number < self.last:
            self.disordered += 1
        self.seen.add(number)
        self.last = max(self.last, number)
        if said.setdefault(number, text) != text:
            self.altered += 1
        sent = sent_at(text)
        if sent is not None and sent >= self.counts_from:
            self.delays.append(now - sent)

    def lost(self, newest: int) -> int:
        """How many of the ids 1 to `newest` never came."""
        return newest - len(self.seen & set(range(1, newest + 1)))

    def refuse(self, why: str) -> None:
        self.refused[why] = self.refused.get(why, 0) + 1


def text_of(publisher: str, number: int, now: float) -> str:
    """What a publisher says: who, the how manieth, and when it was tried first."""
    return f"{publisher} {number} {now:.6f}"


def sent_at(text: str) -> float | None:
    """When a message was sent (seconds since 1970, the publisher's clock), None for a text that is not ours."""
    words = text.split(" ")
    try:
        return float(words[2]) if len(words) == 3 else None
    except ValueError:
        return None


def pause_after(code: int, failures: int, retry_after: float = 0, chance=random.random) -> float | None:
    """Seconds until a subscriber comes back after a close code, as docs/protocol.md says; None: it does not."""
    kind = code // 100
    if kind in NEVER:
        return None
    growing = min(PAUSE_MOST, PAUSE_FIRST * 2 ** max(0, failures - 1)) * (0.5 + chance() / 2)
    if retry_after:
        return retry_after + chance()
    if kind in BACK_OFF:
        return max(growing, BACK_OFF_SECONDS) * (1 + chance())
    at_once = kind in NOW or code == REPLACED
    return chance() * PAUSE_FIRST if at_once and failures <= 1 else growing


def percentile(values: list[float], share: float) -> float | None:
    """The nearest-rank percentile of sorted values; None if there are none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else None
