"""One verb at a time may change an environment. The lock says who holds it, since when and why."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from .console import Failure
from .paths import STATE

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
        file.write(json.dumps({"verb": verb, "pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}))
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
        return f"`make {holder['verb']}` has run since {holder['since']} as process {holder['pid']}"
    except (ValueError, KeyError):
        return "by another run"
