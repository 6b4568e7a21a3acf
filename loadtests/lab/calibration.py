"""How fast this machine calculates right now: a noisy neighbour or a hot CPU shows here.

CPU time alone, the best of many short tries on each CPU: a try that something else disturbed is slower, never faster, so
the best of them says how fast the CPU is. Tries go on until one comes near the best known, which lets a busy moment pass;
after `PATIENCE_SECONDS` the CPU is called slow.
"""

import os
import time
from collections.abc import Callable, Iterable

LOOPS = 20_000
FEWEST, PATIENCE_SECONDS = 12, 1.5
NEAR = 0.02
"""Share above the best known time at which the tries may end."""


def calibrate(cpus: Iterable[int], best: dict[int, float] | None = None) -> dict[int, float]:
    """CPU seconds of a fixed calculation by CPU. `best` are the best known times; they are brought up to date."""
    best = best if best is not None else {}
    before, found = os.sched_getaffinity(0), {}
    try:
        for cpu in cpus:
            os.sched_setaffinity(0, {cpu})
            found[cpu] = fastest(once, best.get(cpu))
            best[cpu] = min(best.get(cpu, found[cpu]), found[cpu])
    finally:
        os.sched_setaffinity(0, before)
    return found


def fastest(one_try: Callable[[], float], known: float | None, clock: Callable[[], float] = time.monotonic) -> float:
    """The fastest of some tries: `FEWEST`, and more while none is near `known` and patience lasts."""
    began, result, tries = clock(), float("inf"), 0
    while tries < FEWEST or (known and result > known * (1 + NEAR) and clock() - began < PATIENCE_SECONDS):
        result, tries = min(result, one_try()), tries + 1
    return result


def drift(before: dict[int, float], after: dict[int, float]) -> float:
    """By what share a CPU's speed changed, the one whose did most."""
    return max((abs(after[cpu] / before[cpu] - 1) for cpu in after), default=0.0)


def once() -> float:
    began = time.thread_time()
    value = 1
    for i in range(LOOPS):
        value = (value * 1103515245 + i) % 2147483648
    return time.thread_time() - began
