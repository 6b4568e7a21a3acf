"""What a person sees: steps with their times, one clear line for an error, and the log behind it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .paths import LOGS

LOG_LINES_SHOWN = 25


class Failure(Exception):
    """An error for a person: what was seen, what was expected, and the command that fixes it."""


def say(line: str = "") -> None:
    print(line, flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step, and say how long it took. On a terminal the seconds count up."""
    started = time.monotonic()
    done = threading.Event()
    live = sys.stdout.isatty()

    def tick() -> None:
        while not done.wait(1.0):
            print(f"\r  {title} … {time.monotonic() - started:.0f} s ", end="", flush=True)

    ticker = threading.Thread(target=tick, daemon=True)
    if live:
        print(f"  {title} …", end="", flush=True)
        ticker.start()
    outcome = "failed after"
    try:
        yield
        outcome = "done in"
    finally:
        done.set()
        seconds = time.monotonic() - started
        print(f"{chr(13) if live else ''}  {title} … {outcome} {seconds:.1f} s", flush=True)


def run(command: Sequence[str | Path], *, log: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """Run a command quietly into `.laurel/logs/<log>.log`; on failure show the log's end and raise Failure."""
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / f"{log}.log"
    argv = [str(word) for word in command]
    with path.open("w") as out:
        out.write(f"$ {' '.join(argv)}\n")
        out.flush()
        code = subprocess.call(
            argv, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=cwd, env={**os.environ, **(env or {})}
        )
    if code:
        tail = path.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        raise Failure(f"`{argv[0]}` ended with code {code}; the whole log is {path}\n    " + "\n    ".join(tail))


def patiently(command: Sequence[str | Path], **how: Any) -> int:
    """The exit code of a command that is let end by itself after ctrl-C: the terminal tells it too, and it has things to put back.

    subprocess.call would kill it a quarter of a second later.
    """
    process = subprocess.Popen([str(word) for word in command], **how)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def output(command: Sequence[str | Path]) -> str | None:
    """What a command prints, stripped; None where it fails or does not exist."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
