"""The judges' own programs: Python environments with hashed locks, and Debian packages, installed when they are wanted."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from cluster.console import Failure, run, step
from cluster.paths import STATE

HERE = Path(__file__).parent
DEBIAN = {"testssl": "testssl.sh", "slowhttptest": "slowhttptest"}


def environment(name: str = "") -> Path:
    """The bin folder of the environment of requirements[-name].txt, made anew when the lock changes."""
    lock = HERE / f"requirements{name and '-' + name}.txt"
    folder = STATE / "audit" / (name or "judges")
    stamp = folder / "lock.txt"
    if not stamp.is_file() or stamp.read_bytes() != lock.read_bytes():
        with step(f"Installing the judges of {lock.name}"):
            run([sys.executable, "-m", "venv", "--clear", folder], log="audit-venv")
            run([folder / "bin/pip", "install", "--quiet", "--require-hashes", "--requirement", lock], log="audit-pip")
        shutil.copy(lock, stamp)
    return folder / "bin"


def debian(command: str) -> str:
    """A command of a Debian package."""
    found = shutil.which(command)
    if found:
        return found
    package = DEBIAN[command]
    if os.geteuid() != 0:
        raise Failure(f"this judge needs {package}; as root: apt-get install {package}")
    with step(f"Installing {package}"):
        run(["apt-get", "install", "--yes", "--no-install-recommends", package], log="audit-apt", env={"DEBIAN_FRONTEND": "noninteractive"})
    return shutil.which(command) or command


def said(command: list, *, codes: tuple[int, ...] = (0,), seconds: float = 600, **options) -> str:
    """What a judge prints; Failure where it ends with another code than one that it has for a verdict."""
    argv = [str(word) for word in command]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=seconds, **options)
    if done.returncode not in codes:
        raise Failure(f"{argv[0]} ended with code {done.returncode} and judged nothing:\n{(done.stderr or done.stdout)[-1000:]}")
    return done.stdout
