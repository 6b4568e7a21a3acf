"""One verb at a time may change an environment. The lock says who holds it, since when and why.

Two locks, one inside the other: of this machine, before there are hosts, and of the hosts, against other machines. Each is the
kernel's, so that a holder who is killed holds nothing any more.
"""

import fcntl
import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from . import inventory, playbook, remote
from .console import Failure
from .paths import STATE
from .paths import inventory as folder_of

HELD = "LAUREL_LOCK_HELD"  # set for the children of a verb that holds the lock


@contextmanager
def exclusive(environment: str, verb: str) -> Iterator[None]:
    """Hold the environment's lock, or raise Failure with who holds it. The kernel frees a killed holder's."""
    if os.environ.get(HELD) == environment:
        yield
        return
    STATE.mkdir(exist_ok=True)
    path = STATE / f"lock-{environment}"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise Failure(f"{environment} is being changed: {describe(file.read())}; wait for it to end") from error
        file.truncate(0)
        file.write(json.dumps({"verb": verb, "pid": os.getpid(), "since": now()}))
        file.flush()
        os.environ[HELD] = environment
        try:
            yield
        finally:
            del os.environ[HELD]
            file.truncate(0)


def describe(text: str) -> str:
    try:
        holder = json.loads(text)
        by = f" by {holder['who']}" if "who" in holder else ""
        why = f" ({holder['why']})" if holder.get("why") else ""
        return f"`make {holder['verb']}`{why} has run{by} since {holder['since']} as process {holder['pid']}"
    except (ValueError, KeyError):
        return "by another run"


# Runs on the first nginx host. The holder is written down, then the lock is held for as long as the connection lives.
HOLD = """read -r holder
exec 9>>/run/laurel.lock
if ! flock --nonblock 9; then echo held; cat /run/laurel.lock; exit 1; fi
: > /run/laurel.lock
printf '%s\\n' "$holder" >&9
echo taken
cat > /dev/null
: > /run/laurel.lock"""
ON_HOSTS = "LAUREL_LOCK_ON_HOSTS"  # set for the children of a verb that holds it


@contextmanager
def on_hosts(environment: str, verb: str) -> Iterator[None]:
    """Hold the lock that lies on the hosts, or raise Failure with who holds it."""
    if os.environ.get(ON_HOSTS) == environment:
        yield
        return
    host = next(iter(inventory.hosts_by_group(folder_of(environment))["nginx"]))
    holder = {"verb": verb, "who": playbook.who(), "pid": os.getpid(), "since": now(), "why": os.environ.get("WHY") or ""}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(remote.argv(environment, host, "--", "sudo", "sh", "-c", shlex.quote(HOLD)), **pipes) as keeper:
        keeper.stdin.write(json.dumps(holder) + "\n")
        keeper.stdin.flush()
        said = keeper.stdout.readline().strip()
        if said != "taken":
            # Not communicate(): it would not see what came with the first line.
            keeper.stdin.close()
            text, complaint = keeper.stdout.read(), keeper.stderr.read()
            if said == "held":
                raise Failure(f"{environment} is being changed from another machine: {describe(text)}; wait for it to end")
            raise Failure(f"{host} does not answer, so its lock cannot be taken ({complaint.strip()}). See: make status")
        os.environ[ON_HOSTS] = environment
        try:
            yield
        finally:
            del os.environ[ON_HOSTS]
            keeper.stdin.close()
            keeper.wait(timeout=10)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
