"""What a result was measured on and with."""

import os
import platform
import subprocess
from typing import Any

from .hosts import Hosts, local_load_code_hash
from .plan import Plan
from .world import ROOT


def gather(hosts: Hosts, plan: Plan, pinning: dict[str, Any]) -> dict[str, Any]:
    """Versions, machine, hashes and sizes; asks the hosts."""
    manifest = hosts.manifest()
    deployed, local = hosts.load_code_hash(), local_load_code_hash()
    return {
        "environment": hosts.environment,
        "hosts": {h.name: sorted(h.groups) for h in hosts.all},
        "provider": next((h.variables.get("cluster_provider") for h in hosts.all), None) or "real hosts",
        "git_commit": git("rev-parse", "HEAD"),
        "git_changed": bool(git("status", "--porcelain")),
        "release": manifest.get("release"),
        "release_commit": manifest.get("commit"),
        "packages": sorted(manifest.get("packages", {})),
        "config_sha256": hosts.config_hashes(),
        "load_code_sha256": deployed,
        "load_code_is_this_checkout": deployed == local,
        "versions": hosts.versions(),
        "sizes": plan.world.sizes,
        "machine": {"kernel": platform.release(), "cpu": cpu_model(), "cpus": os.cpu_count()},
        "python": platform.python_version(),
        "pinning": pinning,
    }


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    except OSError:
        return platform.machine()
