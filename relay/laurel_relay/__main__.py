"""`relay VERB [RELEASE]`: plan, candidate, switch, reload, restart, releases. Says what it did as one line of JSON.

A failure is code 1, with {"failed": why, "log": [last lines]}; the former release serves on.
"""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

from . import candidate, settings
from .releases import Releases
from .settings import Failed
from .switch import Relay

LOCK = Path("/run/laurel-relay.lock")  # two at once would drain each other's processes
VERBS = ("plan", "candidate", "switch", "reload", "restart", "releases")


def main(words):
    if not words or words[0] not in VERBS:
        print(f"relay: expected one of {', '.join(VERBS)}", file=sys.stderr)
        return 2
    verb = words[0]
    chosen = settings.read()
    releases = Releases(chosen["root"])
    release = words[1] if len(words) > 1 else releases.current
    with LOCK.open("w") as lock:
        try:
            if verb not in ("plan", "releases"):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    raise Failed("another relay runs on this host; wait for it to end") from None
            result = run(verb, chosen, releases, release)
        except Failed as failure:
            audit(verb, release, f"failed: {failure}")
            print(json.dumps({"failed": str(failure), "log": failure.log}))
            return 1
    if verb in ("switch", "reload", "restart"):
        audit(verb, release, "done: " + (", ".join(f"{unit} {how}" for unit, how in result["done"].items()) or "nothing to do"))
    print(json.dumps(result))
    return 0


def run(verb, chosen, releases, release):
    relay = Relay(chosen, releases)
    if verb == "releases":
        return {"releases": releases.listing()}
    if verb == "plan":
        return relay.plan(release)
    if verb == "candidate":
        folder = releases.folder(release)
        try:
            candidate.check(chosen, folder)
        except Failed as failure:
            if release != releases.current:
                releases.mark_bad(release, str(failure))
            raise
        return {"healthy": release}
    before = releases.current
    return {"release": release, "before": before, "done": relay.switch(release, None if verb == "switch" else verb)}


def audit(verb, release, result):
    subprocess.run(["/usr/local/sbin/laurel-audit", os.environ.get("RELAY_WHO", "somebody on the host"), f"relay {verb} {release}", result])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
