"""The verb rotate-secrets: new secrets for old ones, with people connected.

Each step can be killed and begun again: a note says which secrets are being replaced, and what they were (a hash). A secret that is
still the old one is replaced; then the hosts are brought to it, where old and new work side by side until every process has switched;
then the note goes.
"""

import hashlib
import json
import os
import secrets
import string
import time
from collections.abc import Callable
from pathlib import Path

from .console import Failure, say
from .paths import ROOT
from .settings import Settings

# Replaced unless some are named, and nobody notices. The things' own (mqtt_<user>) are theirs to be told of, by name.
USUAL = ("database_password", "database_owner_password", "redis_password", "redis_peer_password", "mqtt_bridge")
LETTERS = string.ascii_letters + string.digits
# By name, or with LEAKED=1: it ends every session. Channels knows no SECRET_KEY_FALLBACKS, and logs out whom it meets with the former key
# (channels.auth.get_user). What else was signed with it, such as a link that resets a password, stays good, unless it leaked.
SIGNS = "application_secret_key"
NOTE = ".rotating.json"


def folder_of(environment: str) -> Path:
    return ROOT / "ansible/secrets" / environment


def known(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*") if path.is_file() and "." not in path.name and path.name != "demo_password")


def choose(folder: Path, asked: str, leaked: bool = False) -> list[str]:
    """The secrets to replace: those that SECRET= names, or the usual ones. Raises Failure."""
    usual = (*USUAL, SIGNS) if leaked else USUAL
    names = asked.replace(",", " ").split() or [name for name in usual if name in known(folder)]
    for name in names:
        if name not in known(folder):
            raise Failure(f"SECRET is {name!r}; expected one of {', '.join(known(folder)) or 'none: make deploy makes them'}")
    if not names:
        raise Failure("there are no secrets yet; make deploy makes them")
    return names


def write(path: Path, text: str) -> None:
    """In one step, readable by its owner only."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)


def begin(folder: Path, names: list[str]) -> dict[str, str]:
    """{secret: hash of what it was}: of this run, or of one that was killed."""
    note = folder / NOTE
    if note.is_file():
        begun = json.loads(note.read_text())
        say(f"  Going on with a rotation that did not end: {', '.join(begun)}")
        return begun
    begun = {name: digest(folder / name) for name in names}
    write(note, json.dumps(begun))
    return begun


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def replace(folder: Path, begun: dict[str, str]) -> None:
    """New ones for those that still are what they were; the old one beside it, for whoever still uses it."""
    for name, before in begun.items():
        path = folder / name
        if digest(path) != before:
            continue
        old = path.read_text()
        write(folder / f"{name}.before", old)
        write(path, "".join(secrets.choice(LETTERS) for _ in range(len(old.split()[0]))) + "\n")


def finish(folder: Path, begun: dict[str, str], leaked: bool) -> None:
    for name in begun:
        if name != SIGNS or leaked:
            (folder / f"{name}.before").unlink(missing_ok=True)
    (folder / NOTE).unlink()


def rotate(chosen: Settings, bring: Callable[[Settings], None]) -> None:
    """`bring` brings the hosts to what the secrets are now."""
    folder, started = folder_of(chosen.environment), time.monotonic()
    leaked = os.environ.get("LEAKED") == "1"
    begun = begin(folder, choose(folder, os.environ.get("SECRET", ""), leaked))
    replace(folder, begun)
    if leaked and SIGNS in begun:
        (folder / f"{SIGNS}.before").unlink(missing_ok=True)
    bring(chosen)
    finish(folder, begun, leaked)
    ended = " Everybody has to log in again." if SIGNS in begun else ""
    say(f"Replaced after {time.monotonic() - started:.0f} s: {', '.join(begun)}.{ended}")
