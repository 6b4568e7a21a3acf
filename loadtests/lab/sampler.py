"""Runs on each host during a trial, sent over SSH: reads what each systemd unit has used.

Not imported by the lab. For each line on standard input it prints one JSON line:

    {"at": monotonic seconds,
     "usage_usec":  {unit: CPU µs}, "system_usec": {unit: CPU µs in the kernel},      exact, cpu.stat of the unit's cgroup
     "memory":      {unit: bytes}, "kernel_memory": {unit: bytes},                    without file cache; sockets included
     "switches":    {unit: context switches of its present threads},
     "network":     {"received": bytes, "sent": bytes},                               all interfaces but loopback
     "cpus":        {"cpu0": [user, nice, system, idle, iowait, irq, softirq, steal]} in ticks of 10 ms
     "kernel":      {"pswpin": …, "pswpout": …, "oom_kill": …}}

CPU comes first, at the moment of the line; the rest follows within milliseconds. In a container `cpus` and `kernel` are the
whole machine's. What a kernel does not have is left out.
"""

import json
import os
import sys
import time

KERNEL = ("pswpin", "pswpout", "oom_kill")


def own_cgroup(controller):
    """This host's own cgroup, for a controller of version 1 or, with "", of version 2; None without one."""
    with open("/proc/1/cgroup") as lines:
        for line in lines:
            _, names, path = line.strip().split(":", 2)
            if controller in names.split(",") if controller else not names:
                path = path[: -len("/init.scope")] if path.endswith("/init.scope") else path
                return path.rstrip("/")
    return None


def first_there(folders, name):
    return next((folder for folder in folders if os.path.exists(folder + "/" + name)), None)


def cpu_root():
    """The folder of all units: cgroup v2, or the unified tree of the hybrid layout."""
    own = own_cgroup("") or ""
    root = first_there([m + own + "/system.slice" for m in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")], "cpu.stat")
    if root is None:
        raise SystemExit("no cpu.stat of system.slice below /sys/fs/cgroup; the unified cgroup tree must be mounted")
    return root


def memory_root(unified):
    """(folder of all units, version of the memory controller), or (None, 0)."""
    if os.path.exists(unified + "/memory.current"):
        return unified, 2
    own = own_cgroup("memory")
    root = None if own is None else "/sys/fs/cgroup/memory" + own + "/system.slice"
    return (root, 1) if root and os.path.exists(root + "/memory.usage_in_bytes") else (None, 0)


def units(root):
    """The cgroup folder of each service, relative to the root; a unit's own sub-groups are part of it."""
    found = {}
    for folder, children, _ in os.walk(root):
        name = os.path.basename(folder)
        if name.endswith(".service"):
            found[name] = folder[len(root) :]
            children.clear()
    return found


def numbers(path):
    """A file of `name number` lines; empty when it is gone."""
    try:
        with open(path) as lines:
            return {words[0].rstrip(":"): int(words[1]) for words in map(str.split, lines) if len(words) > 1 and words[1].isdigit()}
    except OSError:
        return {}


def number(path):
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def memory(folder, version):
    """(bytes without file cache that can be dropped, bytes of these that are the kernel's) of a cgroup, or None."""
    stat = numbers(folder + "/memory.stat")
    if not stat:
        return None
    if version == 2:
        kernel = stat.get("kernel", stat.get("slab", 0) + stat.get("kernel_stack", 0)) + stat.get("sock", 0)
        return number(folder + "/memory.current") - stat.get("inactive_file", 0), kernel
    # Version 1 counts the buffers of TCP apart.
    tcp = number(folder + "/memory.kmem.tcp.usage_in_bytes")
    used = number(folder + "/memory.usage_in_bytes") - stat.get("total_inactive_file", 0) + tcp
    return used, number(folder + "/memory.kmem.usage_in_bytes") + tcp


def switches(folder):
    total = 0
    for place, _, _ in os.walk(folder):
        try:
            with open(place + "/cgroup.procs") as lines:
                processes = lines.read().split()
            for process in processes:
                for task in os.listdir("/proc/" + process + "/task"):
                    stat = numbers("/proc/" + process + "/task/" + task + "/status")
                    total += stat.get("voluntary_ctxt_switches", 0) + stat.get("nonvoluntary_ctxt_switches", 0)
        except OSError:
            continue
    return total


def network():
    received = sent = 0
    with open("/proc/net/dev") as lines:
        for line in lines:
            name, _, rest = line.partition(":")
            if rest and name.strip() != "lo":
                received, sent = received + int(rest.split()[0]), sent + int(rest.split()[8])
    return {"received": received, "sent": sent}


def cpus():
    with open("/proc/stat") as lines:
        return {w[0]: [int(x) for x in w[1:9]] for w in map(str.split, lines) if w[0].startswith("cpu") and w[0] != "cpu"}


def sample(root, memory_folder, version):
    at = time.monotonic()
    found = units(root)
    stats = {name: numbers(root + path + "/cpu.stat") for name, path in found.items()}
    used = {name: memory(memory_folder + path, version) for name, path in found.items()} if version else {}
    return {
        "at": at,
        "usage_usec": {n: s["usage_usec"] for n, s in stats.items() if "usage_usec" in s},
        "system_usec": {n: s["system_usec"] for n, s in stats.items() if "system_usec" in s},
        "memory": {n: m[0] for n, m in used.items() if m},
        "kernel_memory": {n: m[1] for n, m in used.items() if m},
        "switches": {n: switches(root + path) for n, path in found.items()},
        "network": network(),
        "cpus": cpus(),
        "kernel": {k: v for k, v in numbers("/proc/vmstat").items() if k in KERNEL},
    }


def main():
    root = cpu_root()
    memory_folder, version = memory_root(root)
    for _ in sys.stdin:
        print(json.dumps(sample(root, memory_folder, version)), flush=True)


if __name__ == "__main__":
    main()
