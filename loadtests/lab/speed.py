"""How fast the servers' CPUs calculate while a trial runs, and costs adjusted for it.

On a machine that others share, a CPU second buys more work at one moment than at the next, for seconds at a time and without a
trace in its counters. A probe of idle priority on each of the servers' CPUs takes what the servers leave: it does a small
calculation again and again and writes down what each took. How much slower that was than at its best in the run is the
**slowdown** of a trial. Over the trials of a scenario the cost follows it by a power, which is estimated from the trials
themselves (analysis of covariance), and costs are then told as at the machine's best.

As a program (`speed.py CPU PARENT`, standard library only) it is the probe.
"""

import bisect
import contextlib
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from typing import IO, Any

LOOPS = 5_000
"""About half a millisecond: shorter than the moments that are looked for."""
PAUSE_SECONDS = 0.008
"""Long enough to leave the servers' latency alone."""
FEWEST_TRIES = 20
"""Tries in a window below which nothing is said about it."""
FEWEST_TRIALS = 8
"""Valid trials of a scenario below which the power is not estimated."""
SURE = 0.01
"""Largest p-value of the power; above it nothing is adjusted."""
STRONGEST = 1.0
"""Work cannot suffer more from a slower CPU than a calculation that needs nothing else."""


def probe(cpu: int, parent: int) -> None:
    """Print `unix-time CPU-seconds` of each try, until the process that started it is gone."""
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while os.getppid() == parent:
        began, value = time.thread_time(), 1
        for i in range(LOOPS):
            value = (value * 1103515245 + i) % 2147483648
        taken = time.thread_time() - began
        print(f"{time.time():.4f} {taken:.7f}", flush=True)
        time.sleep(PAUSE_SECONDS)


class Watch:
    """What the probes of some CPUs saw."""

    def __init__(self, files: list[IO[str]]) -> None:
        self.files = files

    def between(self, since: float, until: float) -> dict[str, float] | None:
        """`{"mean_us", "fastest_us"}` of the tries that ended in a span of Unix time, averaged over the CPUs; None without enough."""
        means, fastest = [], []
        for file in self.files:
            times, costs = read_tries(file)
            here = costs[bisect.bisect(times, since) : bisect.bisect(times, until)]
            if len(here) < FEWEST_TRIES:
                return None
            means.append(sum(here) / len(here))
            fastest.append(min(costs))
        if not means:
            return None
        return {"mean_us": 1e6 * sum(means) / len(means), "fastest_us": 1e6 * sum(fastest) / len(fastest)}


def read_tries(file: IO[str]) -> tuple[list[float], list[float]]:
    file.seek(0)
    pairs = [line.split() for line in file if line.endswith("\n")]
    return [float(p[0]) for p in pairs], [float(p[1]) for p in pairs]


@contextlib.contextmanager
def watching(cpus: Iterable[int]) -> Iterator[Watch]:
    """Probes on these CPUs for as long as the block runs."""
    with contextlib.ExitStack() as undo:
        files = []
        for cpu in cpus:
            file = undo.enter_context(tempfile.TemporaryFile("w+"))
            process = subprocess.Popen([sys.executable, "-IS", __file__, str(cpu), str(os.getpid())], stdout=file, stdin=subprocess.DEVNULL)
            undo.callback(process.wait)
            undo.callback(process.kill)
            files.append(file)
        yield Watch(files)


def slowdowns(trials: list[dict[str, Any]]) -> dict[str, float]:
    """By trial id, how many times as long the probe took as at its best in all of them; those without a probe are left out."""
    watched = {t["id"]: t["speed"] for t in trials if t.get("speed")}
    best = min((s["fastest_us"] for s in watched.values()), default=0.0)
    return {name: s["mean_us"] / best for name, s in watched.items()}


def adjusted(trials: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The trials of one scenario with their CPU costs as at the machine's best speed, and how that was estimated.

    The second is `{"power", "error", "p", "trials", "slowest"}`, with power 0 where the costs do not follow the speed surely enough;
    None where too few trials were watched. What does not change is returned as it is.
    """
    slow = slowdowns(trials)
    good = [t for t in trials if t["valid"] and t["id"] in slow and t["cpu_us_total"] > 0]
    if len(good) < FEWEST_TRIALS:
        return trials, None
    found = estimate(good, slow)
    if not found["power"]:
        return trials, found
    return [slower(t, slow[t["id"]] ** -found["power"]) if t["valid"] and t["id"] in slow else t for t in trials], found


def estimate(good: list[dict[str, Any]], slow: dict[str, float]) -> dict[str, Any]:
    """The power by which cost follows slowdown, within candidates and rounds: neither of them may be taken for the machine."""
    import numpy as np  # here, because the probe shall start without it
    from scipy import stats

    names, rounds = sorted({t["candidate"] for t in good}), sorted({t["round"] for t in good})
    groups = np.array([[t["candidate"] == n for n in names] + [t["round"] == r for r in rounds[1:]] for t in good], dtype=float)

    def within(values: list[float]) -> Any:
        """What candidate and round leave unexplained."""
        logs = np.log(values)
        return logs - groups @ np.linalg.lstsq(groups, logs, rcond=None)[0]

    speed, cost = within([slow[t["id"]] for t in good]), within([t["cpu_us_total"] for t in good])
    free = len(good) - groups.shape[1] - 1
    told = {"power": 0.0, "error": None, "p": None, "trials": len(good), "slowest": max(slow[t["id"]] for t in good)}
    if free < 3 or float(np.ptp(speed)) < 1e-6:
        return told
    line = stats.linregress(speed, cost)
    # The groups took degrees of freedom that linregress does not know of.
    error = float(line.stderr) * math.sqrt((len(good) - 2) / free)
    p = float(2 * stats.t.sf(abs(line.slope) / error, free)) if error else 0.0
    power = min(float(line.slope), STRONGEST) if line.slope > 0 and p <= SURE else 0.0
    return told | {"power": power, "error": error, "p": p}


def in_short(found: dict[str, Any] | None) -> str:
    """How costs were adjusted, in a few words; empty where they were not."""
    if not found or not found["power"]:
        return ""
    power = f"{found['power']:.2f} ± {found['error']:.2f}"
    return f"CPU as at the machine's best speed (it was up to {found['slowest'] - 1:.0%} slower; power {power})"


def slower(trial: dict[str, Any], factor: float) -> dict[str, Any]:
    """A copy of a trial with its CPU costs times a factor."""
    parts = {key: {s: v * factor for s, v in trial[key].items()} for key in ("cpu_us", "kernel_cpu_us")}
    return trial | parts | {"cpu_us_total": trial["cpu_us_total"] * factor}


if __name__ == "__main__":
    probe(int(sys.argv[1]), int(sys.argv[2]))
