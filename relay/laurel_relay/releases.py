"""The releases of a host: folders below <root>/releases, the link `current`, and what is known about each."""

import json
import os
import time
from pathlib import Path

from .settings import Failed

NOTES = "relay.json"  # in a release's folder: {"good_at": seconds, "bad_at": seconds, "why": text}


class Releases:
    def __init__(self, root):
        self.root = Path(root)
        self.link = self.root / "current"

    def folder(self, name):
        """The folder of a release that is whole. Raises Failed."""
        path = self.root / "releases" / name
        if not name or "/" in name or not (path / ".complete").is_file():
            raise Failed(f"there is no whole release {name!r} on this host; there are: {', '.join(sorted(self.names())) or 'none'}")
        return path

    def names(self):
        return [mark.parent.name for mark in self.root.glob("releases/*/.complete")]

    @property
    def current(self):
        """Its name, or None."""
        return os.path.basename(os.readlink(self.link)) if self.link.is_symlink() else None

    def make_current(self, name):
        """In one step: nobody ever finds no release."""
        partial = self.root / "current.next"
        partial.unlink(missing_ok=True)
        partial.symlink_to(self.folder(name))
        partial.rename(self.link)

    def notes(self, name):
        try:
            return json.loads((self.root / "releases" / name / NOTES).read_text())
        except (OSError, ValueError):
            return {}

    def note(self, name, **values):
        path = self.folder(name) / NOTES
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(values) + "\n")
        partial.replace(path)

    def mark_good(self, name):
        self.note(name, good_at=time.time())

    def mark_bad(self, name, why):
        self.note(name, **{k: v for k, v in self.notes(name).items() if k == "good_at"}, bad_at=time.time(), why=why)

    def listing(self):
        """[{release, staged_at, current, good_at?, bad_at?, why?}], the newest first."""
        found = [
            {"release": name, "staged_at": (self.root / "releases" / name / ".complete").stat().st_mtime, "current": name == self.current}
            | self.notes(name)
            for name in self.names()
        ]
        return sorted(found, key=lambda about: about.get("good_at") or about["staged_at"], reverse=True)
