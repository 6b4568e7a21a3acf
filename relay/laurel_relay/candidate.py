"""A release is started beside the one that serves, on Unix sockets of its own, and asked whether it is healthy. No user reaches it."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from . import probe, units
from .settings import Failed, until

SOCKETS = Path("/run/laurel-candidate")
STOP_SECONDS = 15


def check(settings, folder):
    """Each server of the topology comes up with the release in `folder` and answers. Raises Failed with its last log lines."""
    for server in settings["servers"]:
        check_server(settings, server, folder)


def check_server(settings, server, folder):
    unit, address, began = f"candidate-{server['name']}", SOCKETS / f"{server['name']}.sock", time.time()
    SOCKETS.mkdir(exist_ok=True)
    shutil.chown(SOCKETS, settings["user"], settings["user"])
    address.unlink(missing_ok=True)
    subprocess.run(["systemctl", "stop", unit], capture_output=True)  # left by a run that was killed
    subprocess.run(["systemctl", "reset-failed", unit], capture_output=True)
    started = subprocess.run(command(settings, server, folder, unit, address), capture_output=True, text=True)
    try:
        if started.returncode:
            raise Failed(f"{server['name']} could not be started: {started.stderr.strip()}")
        for path in settings["paths"].values():
            status, said = answer(settings, unit, address, path)
            if status != 200:
                state = units.show(unit, "ActiveState")
                what = f"{path} says {status}: {said}" if status else f"it does not answer ({state})"
                raise Failed(f"under {server['name']}, {what}", units.journal(unit, since=began))
    finally:
        subprocess.run(["systemctl", "stop", unit], capture_output=True)
        address.unlink(missing_ok=True)


def command(settings, server, folder, unit, address):
    """systemd-run's, which ends it by itself if we are killed."""
    code, venv = folder / "code", folder / "venv"
    words = {"socket": address, "code": code, "packages": next(venv.glob("lib/python3*/site-packages"), "")}
    program, *arguments = (word.format(**words) for word in server["candidate"])
    properties = {
        "User": settings["user"], "Group": settings["user"], "EnvironmentFile": settings["environment"], "WorkingDirectory": code,
        "RuntimeMaxSec": settings["seconds"]["start"] + 30, "TimeoutStopSec": STOP_SECONDS, "MemoryMax": server["memory_max"],
        # It may take its time; who serves meanwhile may not.
        "Nice": 10, "CPUWeight": 20,
    }  # fmt: skip
    return [
        "systemd-run", "--quiet", f"--unit={unit}", *(f"--property={name}={value}" for name, value in properties.items()),
        f"--setenv=PYTHONPATH={os.path.dirname(os.path.dirname(__file__))}", "--setenv=PYTHONDONTWRITEBYTECODE=1",
        "--setenv=PYTHONUNBUFFERED=1", venv / "bin" / program, *arguments,
    ]  # fmt: skip


def answer(settings, unit, address, path):
    """What it says as soon as it says anything but "not yet"; (0, why) when it has ended or the time is over."""

    def attempt():
        found = probe.ask("http", str(address), path, settings["host"])
        return found if found[0] or units.show(unit, "ActiveState") not in ("active", "activating") else None

    return until(attempt, settings["seconds"]["start"]) or (0, "no answer")
