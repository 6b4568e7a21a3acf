"""Positions in a feed: which a client may name, and from which it can go on."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Recovery:
    """Where a reader begins: what comes after `after` follows. `recovered` is false if what it missed is not whole."""

    after: int
    recovered: bool
    oldest: int | None
    newest: int

    as_dict = asdict


def position_of(text):
    """Return the id that a query names, or None if it is not one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def is_recoverable(after, *, oldest, newest):
    """Return whether everything after `after` is still kept. If not, nothing is given: never a part."""
    if after > newest:
        return False
    return after == newest or (oldest is not None and oldest <= after + 1)


def recover(after, *, oldest, newest):
    """Return the Recovery of a reader that has everything up to `after`; None wants only what is new."""
    recovered = after is None or is_recoverable(after, oldest=oldest, newest=newest)
    return Recovery(after if recovered and after is not None else newest, recovered, oldest, newest)
