"""What the generator itself uses of its machine: open files and ports. A load that runs out of either measures itself."""

import os
import resource
import socket
from collections import Counter
from pathlib import Path
from typing import Any

LISTEN = "0A"


def look() -> dict[str, Any]:
    """Open files of this process, ports of this machine, and their limits."""
    low, high = port_range()
    return {
        "host": socket.gethostname(),
        "cpus": len(os.sched_getaffinity(0)),
        "open_files": len(os.listdir("/proc/self/fd")),
        "open_files_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "ports": most_ports(low, high),
        "ports_limit": high - low + 1,
    }


def port_range(path: str = "/proc/sys/net/ipv4/ip_local_port_range") -> tuple[int, int]:
    low, high = Path(path).read_text(encoding="ascii").split()
    return int(low), int(high)


def most_ports(low: int, high: int, tables: tuple[str, ...] = ("/proc/net/tcp", "/proc/net/tcp6")) -> int:
    """Local ports in use between `low` and `high`, of the source address that has taken most of them."""
    taken: Counter[str] = Counter()
    for table in tables:
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:  # no IPv6 here
            continue
        for line in lines:
            _, local, _, state, *_ = line.split()
            address, _, port = local.rpartition(":")
            if state != LISTEN and low <= int(port, 16) <= high:
                taken[address] += 1
    return max(taken.values(), default=0)
