"""Processes on this machine that outlive the verb that started them, one of each name."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from .paths import LOGS, ROOT, STATE

DEAF_SECONDS = 3  # what a shell without job control started in the background does not hear SIGINT


def pid_file(name: str) -> Path:
    return STATE / f"{name}.pid"


def running(name: str) -> int | None:
    """The process of that name; None where there is none, or where another process has its id by now."""
    try:
        pid = int(pid_file(name).read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        return pid if os.readlink(f"/proc/{pid}/cwd") == str(ROOT) and any(word.endswith(name) for word in words) else None
    except (OSError, ValueError):
        return None


def start(name: str, command: Sequence[str | Path]) -> None:
    """Start it where it does not run; what it says goes to `.laurel/logs/<name>.log`. A word of the command ends in its name."""
    if running(name):
        return
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            [str(word) for word in command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    pid_file(name).write_text(f"{process.pid}\n")


def stop(name: str) -> None:
    if pid := running(name):
        os.kill(pid, signal.SIGINT)
        end = time.monotonic() + DEAF_SECONDS
        while running(name) == pid and time.monotonic() < end:
            time.sleep(0.05)
        if running(name) == pid:
            os.kill(pid, signal.SIGTERM)
    pid_file(name).unlink(missing_ok=True)
