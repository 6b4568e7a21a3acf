"""The verbs backup, backups and restore. What they do to the database is ansible/roles/postgresql/files/laurel-backup's."""

import json
import os
import re
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from . import inventory, playbook, remote
from .console import Failure, say
from .paths import ROOT
from .paths import inventory as folder_of
from .settings import Settings

NAME = re.compile(r"\d{8}-\d{6}")


def here(environment: str) -> Path:
    """Where copies of the backups lie on this machine."""
    return ROOT / "backups" / environment


def make(chosen: Settings) -> None:
    """Dump, prove by restoring, and bring a copy here."""
    started, folder = time.monotonic(), here(chosen.environment)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # other people's messages
    playbook.run("backup", chosen.environment, "--extra-vars", json.dumps({"backup_here": str(folder)}))
    newest = copies(chosen.environment)[0]
    say(f"Backup {newest['backup']}: {describe(newest)}; restored and compared in {time.monotonic() - started:.0f} s.")
    say(f"A copy lies in {folder.relative_to(ROOT)}/{newest['backup']}/. Back to it: make restore BACKUP={newest['backup']}")


def about(folder: Path) -> dict[str, Any]:
    facts = json.loads((folder / "facts.json").read_text())
    rows = sum(count for count, _ in facts["tables"].values())
    return {
        "backup": folder.name,
        "made_at": facts["made_at"],
        "bytes": (folder / "dump").stat().st_size,
        "rows": rows,
        "tables": len(facts["tables"]),
    }


def copies(environment: str) -> list[dict[str, Any]]:
    """The copies on this machine, newest first."""
    found = sorted(here(environment).glob("*/facts.json"), reverse=True)
    return [about(path.parent) for path in found if NAME.fullmatch(path.parent.name) and (path.parent / "dump").is_file()]


def on_host(environment: str) -> list[dict[str, Any]]:
    """Those on the host of the database, newest first."""
    host = next(iter(inventory.hosts_by_group(folder_of(environment))["postgresql"]))
    text = remote.read(environment, host, "cd / && sudo -u postgres laurel-backup --database any list")
    try:
        return json.loads(text or "")["backups"]
    except (ValueError, KeyError) as error:
        raise Failure(f"{host} says nothing about its backups; is it deployed and up? See: make status") from error


def describe(known: dict[str, Any]) -> str:
    made = datetime.fromtimestamp(known["made_at"]).strftime("%Y-%m-%d %H:%M:%S")
    return f"{known['rows']} rows of {known['tables']} tables, {known['bytes'] / 2**20:.1f} MiB, made {made}"


def listing(chosen: Settings) -> None:
    found = {"on the host": on_host(chosen.environment), "here": copies(chosen.environment)}
    names = sorted({known["backup"] for group in found.values() for known in group}, reverse=True)
    for name in names:
        where = [place for place, group in found.items() if any(known["backup"] == name for known in group)]
        known = next(known for group in found.values() for known in group if known["backup"] == name)
        say(f"{name}  {describe(known)}  {' and '.join(where)}")
    if not names:
        say("There is no backup yet; make one with: make backup")


def restore(chosen: Settings, reload: Callable[[Settings], None]) -> None:
    """Put a backup in the database's place. What was there is kept under another name; sockets come back to what is there now."""
    name, started = os.environ.get("BACKUP", ""), time.monotonic()
    known = {found["backup"] for found in [*on_host(chosen.environment), *copies(chosen.environment)]}
    if name not in known:
        newest = ", ".join(sorted(known, reverse=True)[:5]) or "none; make one with: make backup"
        raise Failure(f"BACKUP is {name!r}; there are: {newest}")
    say(f"  Restoring {name}: what was written since is set aside, not merged")
    values = {"restore_backup": name, "restore_here": str(here(chosen.environment))}
    playbook.run("restore", chosen.environment, "--extra-vars", json.dumps(values))
    # Every process and every socket begins anew with what is stored now.
    reload(chosen)
    say(f"{name} serves after {time.monotonic() - started:.0f} s. The former database is kept: docs/runbooks/restore-from-backup.md")
