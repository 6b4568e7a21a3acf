"""Run a command on a host over SSH, with the one ssh_config that everybody uses."""

import subprocess

from .console import Failure
from .paths import inventory

UNREACHABLE = 255  # ssh's own exit code


def argv(environment: str, host: str, *command: str) -> list[str]:
    config = inventory(environment) / "ssh_config"
    options = ["-F", str(config)] if config.is_file() else []
    return ["ssh", *options, host, *command]


def read(environment: str, host: str, script: str, seconds: float = 20) -> str | None:
    """What a shell script prints on a host; None where the host does not answer in time."""
    try:
        done = subprocess.run(argv(environment, host, "--", script), capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return None
    return None if done.returncode == UNREACHABLE else done.stdout


def require_host(environment: str, host: str, known: list[str]) -> str:
    if host not in known:
        raise Failure(f"HOST is {host!r}; expected one of {', '.join(known)}, as in: make ssh HOST={known[0]}")
    return host
