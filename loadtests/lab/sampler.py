"""Runs on each host during a trial, sent over SSH: reads what each systemd unit has used of the CPU.

Not imported by the lab. For each line on standard input it prints one JSON line:

    {"at": monotonic seconds, "usage_usec": {"nginx.service": 123456, …}, "failed": []}

The numbers are the kernel's exact counters (`cpu.stat` in the cgroup of the unit), children included.
"""

import json
import os
import sys
import time


def unit_root():
    """The folder of all units: cgroup v2, or the unified tree of the hybrid layout, below this host's own cgroup."""
    with open("/proc/1/cgroup") as lines:
        own = next(line.strip().split("::", 1)[1] for line in lines if line.startswith("0::"))
    own = own[: -len("/init.scope")] if own.endswith("/init.scope") else own
    for mount in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        root = mount + own.rstrip("/") + "/system.slice"
        if os.path.exists(root + "/cpu.stat"):
            return root
    raise SystemExit("no cpu.stat of system.slice below /sys/fs/cgroup; the unified cgroup tree must be mounted")


def stat_files(root):
    """The cpu.stat of each unit, by name; a unit's own sub-groups are part of it."""
    found = {}
    for folder, children, _ in os.walk(root):
        name = os.path.basename(folder)
        if name.endswith(".service"):
            found[name] = folder + "/cpu.stat"
            children.clear()
    return found


def usage(path):
    try:
        with open(path) as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("usage_usec"))
    except (OSError, StopIteration):
        return None


def main():
    root = unit_root()
    for _ in sys.stdin:
        at = time.monotonic()
        values = {name: usage(path) for name, path in stat_files(root).items()}
        print(json.dumps({"at": at, "usage_usec": {k: v for k, v in values.items() if v is not None}}), flush=True)


main()
