"""Where results lie: `results/<UTC time>/result.json`, and `results/latest`, which points to the newest."""

import contextlib
import datetime
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import METHOD_VERSION
from .errors import LabError
from .world import ROOT

RESULTS = ROOT / "results"
FORMAT = 2


def new_folder(root: Path = RESULTS) -> Path:
    """A new folder, named after the time."""
    folder = root / datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    folder.mkdir(parents=True, exist_ok=False)
    return folder


def point_latest(folder: Path) -> None:
    """Let `latest` beside the folder point to it."""
    pointer = folder.parent / f".latest-{os.getpid()}"
    pointer.unlink(missing_ok=True)
    pointer.symlink_to(folder.name)
    os.replace(pointer, folder.parent / "latest")


@contextlib.contextmanager
def alone(root: Path = RESULTS) -> Iterator[None]:
    """Hold the machine for one bench: two at once would measure each other. Raises LabError when one runs."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise LabError(f"A bench runs already ({lock.read().strip()}). Wait for its end, or stop it.") from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} since {datetime.datetime.now(datetime.UTC):%H:%M:%S} UTC\n")
        lock.flush()
        yield


def drop(folder: Path) -> None:
    """Remove a folder in which nothing was measured."""
    (folder / "result.json").unlink(missing_ok=True)
    folder.rmdir()


def write(folder: Path, result: dict[str, Any]) -> None:
    """Replace the result whole, so that a crash leaves the one before."""
    part = folder / "result.json.part"
    part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(part, folder / "result.json")


def read(path: Path) -> dict[str, Any]:
    """A result by folder or file. Raises LabError when there is none or this version can't read it."""
    file = path / "result.json" if path.is_dir() else path
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise LabError(f"There is no result in {path}. Run `make bench`, or name a folder below results/.") from None
    except ValueError as error:
        raise LabError(f"{file} is no JSON ({error}). Run `make bench` again.") from error
    if not isinstance(result, dict) or result.get("format") != FORMAT or result.get("method") != METHOD_VERSION:
        found = (result.get("format"), result.get("method")) if isinstance(result, dict) else None
        raise LabError(
            f"{file} has format and method {found}, this lab reads {(FORMAT, METHOD_VERSION)}: results of different methods "
            "can't be compared. Run `make bench` again."
        )
    return result
