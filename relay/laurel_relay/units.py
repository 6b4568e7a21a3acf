"""The units of the application: what runs in them, what they were started with, and how they take another release."""

import os
import re
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from .settings import Failed, until

ACCESS = re.compile(r'"logger": ?"(daphne\.access|uwsgi)"')  # a line for each request, which says nothing of why


def systemctl(*words, seconds=None):
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=seconds)
    if done.returncode:
        raise Failed(f"`systemctl {' '.join(words)}` failed: {done.stderr.strip()}")
    return done.stdout.strip()


def show(unit, name):
    return systemctl("show", f"--property={name}", "--value", "--timestamp=us+utc", unit)


def journal(unit, lines=20, since=None):
    """The last lines of a unit."""
    # With --since, journalctl of systemd 252 takes --lines for the first ones; and it knows whole seconds only.
    wanted = f"--since=@{int(since)}" if since else f"--lines={lines}"
    words = ["journalctl", "--no-pager", "--output=cat", wanted, f"--unit={unit}"]
    said = subprocess.run(words, capture_output=True, text=True).stdout.splitlines()
    return [line for line in said if not ACCESS.search(line)][-lines:]


def children(pid):
    """The processes that have this parent."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[1] == str(pid):
            found.append(int(stat.parent.name))
    return found


def working_directory(pid, user):
    """Where a process runs. Root may not look in a container without CAP_SYS_PTRACE; the process's own user may."""
    link = f"/proc/{pid}/cwd"
    try:
        return os.readlink(link)
    except PermissionError:
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "readlink", link]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()


class Unit:
    """`about`: unit, takes_release (reload or restart), processes (main or children), files (a change of them wants a restart)."""

    def __init__(self, about, releases, user):
        self.name, self.takes_release = about["unit"], about["takes_release"]
        self.whose, self.files, self.releases, self.user = about["processes"], about["files"], releases, user

    def active(self):
        return show(self.name, "ActiveState") in ("active", "reloading")

    def pids(self):
        main = int(show(self.name, "MainPID") or 0)
        if not main:
            return []
        return children(main) if self.whose == "children" else [main]

    def in_release(self, name):
        """Whether every process that serves runs in the folder of this release. A socket runs in none."""
        if self.whose == "none":
            return True
        folder = self.releases.folder(name) / "code"
        pids = self.pids()
        try:
            return bool(pids) and all(working_directory(pid, self.user) == str(folder) for pid in pids)
        except OSError:
            return False  # one ended while we looked

    def outdated(self):
        """Whether a file that it reads at its start has changed since."""
        since = show(self.name, "ActiveEnterTimestamp")
        if not since:
            return True
        started = datetime.strptime(since, "%a %Y-%m-%d %H:%M:%S.%f %Z").replace(tzinfo=UTC).timestamp()
        return any(path.stat().st_mtime > started for file in self.files for path in tree(Path(file)))

    def needs(self, release):
        """What it takes to bring it to this release: "restart", "reload" or None."""
        if not self.active() or self.outdated():
            return "restart"
        return None if self.in_release(release) else self.takes_release

    def take(self, how, release, seconds):
        """Do it, and wait until every process runs in the release. Raises Failed."""
        began, before = time.time(), set(self.pids())
        systemctl(how, self.name, seconds=seconds)

        def done():
            return self.active() and self.in_release(release) and not before & set(self.pids())

        if self.whose != "none" and not until(done, seconds):
            raise Failed(f"{self.name} did not take release {release} within {seconds} s of its {how}", journal(self.name, since=began))
        return before


def tree(path):
    return [path, *path.rglob("*")] if path.is_dir() else [path] if path.exists() else []
