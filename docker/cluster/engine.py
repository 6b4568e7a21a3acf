"""The Docker engine: find one that answers, or start one."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from .console import Failure, output, step
from .paths import LOGS

START_SECONDS = 30
# The engine's own bridge and pools stay inside the benchmark range, away from office networks.
BRIDGE = "198.18.0.1/24"
POOLS = "base=198.19.0.0/16,size=24"
PID_FILES = {Path("/var/run/docker.pid"): "dockerd", Path("/var/run/docker/containerd/containerd.pid"): "containerd"}


def answers() -> bool:
    return output(["docker", "info", "--format", "{{.ServerVersion}}"]) not in (None, "")


def systemd_runs() -> bool:
    return Path("/run/systemd/system").is_dir()


def ensure() -> None:
    """Return with an engine that answers, or raise Failure with what to do."""
    if answers():
        return
    if shutil.which("dockerd") is None and not Path("/usr/sbin/dockerd").exists():
        raise Failure("no Docker engine answers and none is installed; as root: apt-get install docker.io")
    if os.geteuid() != 0:
        raise Failure(
            "no Docker engine answers to this user; as root: systemctl start docker && usermod -aG docker "
            f"{os.environ.get('USER', 'YOU')} (then log in again)"
        )
    with step("Starting the Docker engine"):
        start()


def remove_stale_pid_files() -> None:
    """An engine that was killed leaves its process ids behind; a new one takes any process of that id for it."""
    for path, name in PID_FILES.items():
        try:
            status = Path(f"/proc/{int(path.read_text())}/status").read_text()
            # One that was killed and not yet reaped by its parent is dead.
            alive = f"Name:\t{name}\n" in status and "State:\tZ" not in status
        except (OSError, ValueError):
            alive = False
        if not alive:
            path.unlink(missing_ok=True)


def start() -> None:
    if systemd_runs():
        subprocess.run(["systemctl", "start", "docker"], check=False, capture_output=True)
    else:
        remove_stale_pid_files()
        LOGS.mkdir(parents=True, exist_ok=True)
        with (LOGS / "dockerd.log").open("w") as log:
            subprocess.Popen(
                ["dockerd", "--bip", BRIDGE, "--default-address-pool", POOLS],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
            )  # fmt: skip
    deadline = time.monotonic() + START_SECONDS
    while not answers():
        if time.monotonic() > deadline:
            where = "journalctl -u docker" if systemd_runs() else f"tail {LOGS / 'dockerd.log'}"
            raise Failure(f"the Docker engine did not answer within {START_SECONDS} s; see: {where}")
        time.sleep(0.5)
