"""CPU time, memory and tasks of each unit, from its control group: exact counters, not samples. Both layouts of control groups."""

import subprocess
from pathlib import Path

from .text import Family

ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
WANTED = "Id,ActiveState,ControlGroup,NRestarts,Result,MemoryCurrent,TasksCurrent"
NOT_SET = 2**64 - 1


def families(patterns):
    cpu = Family("laurel_unit_cpu_seconds_total", "counter", "CPU time of a unit's processes")
    memory = Family("laurel_unit_memory_bytes", "gauge", "Memory of a unit, the kernel's for it included")
    tasks = Family("laurel_unit_tasks", "gauge", "Processes and threads of a unit")
    active = Family("laurel_unit_active", "gauge", "1 where a unit is active")
    restarts = Family("laurel_unit_restarts_total", "counter", "Times systemd started a unit again by itself")
    killed = Family("laurel_unit_out_of_memory", "gauge", "1 where a unit's last end was by the kernel, for its memory")
    for unit in shown(patterns):
        name = unit["Id"].removesuffix(".service")
        active.add(unit["ActiveState"] in ("active", "reloading"), unit=name)
        restarts.add(number(unit["NRestarts"]) or 0, unit=name)
        killed.add(unit["Result"] == "oom-kill", unit=name)
        if (seconds := cpu_seconds(unit["ControlGroup"])) is not None:
            cpu.add(seconds, unit=name)
        for family, key in ((memory, "MemoryCurrent"), (tasks, "TasksCurrent")):
            if (value := number(unit[key])) is not None:
                family.add(value, unit=name)
    return [cpu, memory, tasks, active, restarts, killed]


def shown(patterns):
    """The units that are loaded, as systemd tells their properties."""
    words = ["systemctl", "show", f"--property={WANTED}", "--", *patterns]
    text = subprocess.run(words, capture_output=True, text=True, timeout=10).stdout
    found = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in text.strip().split("\n\n")]
    return [unit for unit in found if unit.get("Id")]


def number(text):
    """A count of systemd's; None where it has none."""
    return int(text) if text.isdigit() and int(text) != NOT_SET else None


def cpu_seconds(group):
    """None for a unit without a group: it does not run."""
    if not group:
        return None
    for root in ROOTS:
        try:
            lines = (root / group.lstrip("/") / "cpu.stat").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith("usage_usec "):
                return int(line.split()[1]) / 1e6
    return None
