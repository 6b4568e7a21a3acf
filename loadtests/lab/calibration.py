"""How fast this machine calculates right now: a noisy neighbour or a hot CPU shows here."""

import time

LOOPS = 60_000
REPEATS = 10


def calibrate() -> float:
    """CPU seconds of a fixed calculation, the best of a few tries (about 60 ms in all)."""
    return min(once() for _ in range(REPEATS))


def once() -> float:
    began = time.process_time()
    value = 1
    for i in range(LOOPS):
        value = (value * 1103515245 + i) % 2147483648
    return time.process_time() - began
