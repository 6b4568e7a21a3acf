"""Build what is shipped to the hosts, once: code, static files, a wheelhouse, a manifest.

A release is named by a hash of what goes into it, so that building an unchanged tree finds it built. The work is done
in the builder container by docker/builder/build.py, with the hosts' own Python.
"""

import hashlib
import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import image, inventory
from .console import Failure, output, run, step
from .paths import BUILD, ROOT

IGNORED = ("__pycache__", ".pytest_cache", ".ruff_cache", "staticfiles", "node_modules", ".venv", "tests")
# Told to pip in the builder where this machine has them: an index mirror, a proxy.
PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Plan:
    """What the builder is asked for; it is given this as JSON."""

    name: str
    source: str  # folder, relative to the repository
    package: str  # folder inside the archive that the source becomes ("" for its top)
    requirements: list[str]  # hashed locks, relative to the repository
    settings_module: str  # "" where there are no static files to collect
    environment: dict[str, str]
    wheels: str = ""
    release: str = ""
    commit: str = ""
    epoch: int = 0


def files_of(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*")
        if path.is_file() and not any(part in IGNORED for part in path.relative_to(folder).parts) and path.suffix != ".pyc"
    )  # fmt: skip


def fingerprint(paths: list[Path], *extra: str) -> str:
    total = hashlib.sha256()
    for word in extra:
        total.update(word.encode() + b"\0")
    for path in paths:
        total.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()[:12]


def existing(relative: str, what: str) -> Path:
    path = ROOT / relative
    if not path.exists():
        raise Failure(
            f"{what} is {relative!r}, and there is no {path}; it is set in the inventory (see ansible/group_vars/all/application.yml)"
        )
    return path


def application_plan(values: dict[str, Any]) -> Plan:
    source = values["application_source"]
    existing(source, "application_source")
    lock = f"{source}/{values['application_requirements']}"
    existing(lock, "application_requirements")
    servers = [f"{server}/requirements.txt" for server in values["servers"] if (ROOT / server / "requirements.txt").is_file()]
    extra = values.get("application_extra_requirements", [])
    return Plan("app", source, "", [lock, *servers, *extra], values["application_settings_module"], values["application_build_environment"])


def loadtests_plan() -> Plan:
    return Plan("loadtests", "loadtests", "loadtests", ["loadtests/requirements.txt"], "", {})


def identify(plan: Plan) -> Plan:
    """Give the plan its names: the wheelhouse by its locks, the release by everything."""
    builder = image.builder_tag()
    wheels = fingerprint([ROOT / lock for lock in plan.requirements], builder)
    build_values = json.dumps([plan.settings_module, plan.environment, plan.package], sort_keys=True)
    release = fingerprint(files_of(ROOT / plan.source), wheels, build_values)
    commit = output(["git", "-C", ROOT, "rev-parse", "HEAD"]) or "unknown"
    epoch = int(output(["git", "-C", ROOT, "log", "-1", "--format=%ct"]) or 0)
    return Plan(**{**asdict(plan), "wheels": wheels, "release": release, "commit": commit, "epoch": epoch})


def build_one(plan: Plan) -> None:
    folder = BUILD / "releases" / f"{plan.name}-{plan.release}"
    if not (folder / "manifest.json").is_file() or not (BUILD / "wheels" / f"{plan.wheels}.tar").is_file():
        tag = image.builder()
        (BUILD / "cache").mkdir(parents=True, exist_ok=True)
        with step(f"Building the release {plan.name}-{plan.release}"):
            run(builder_command(tag, plan), log=f"build-{plan.name}")
    current = BUILD / f"{plan.name}.json"
    text = json.dumps({"name": plan.name, "release": plan.release, "wheels": plan.wheels}) + "\n"
    if not current.is_file() or current.read_text() != text:
        # Replaced, never written into: killed half way it stays whole, and a copy made of hard links keeps its own.
        partial = current.with_suffix(".partial")
        partial.write_text(text)
        partial.replace(current)


def builder_command(tag: str, plan: Plan) -> list[str]:
    command = [
        "docker", "run", "--rm", "--network", "host", "--user", f"{os.getuid()}:{os.getgid()}",
        "--volume", f"{ROOT}:/source:ro", "--volume", f"{BUILD}:/build", "--env", "HOME=/tmp",
        "--env", f"PLAN={json.dumps(asdict(plan))}",
    ]  # fmt: skip
    if CA_BUNDLE.is_file():
        # A proxy that inspects TLS has its CA in this machine's bundle.
        command += ["--volume", f"{CA_BUNDLE}:{CA_BUNDLE}:ro", "--env", f"PIP_CERT={CA_BUNDLE}"]
    for name in PASSED_ON:
        if os.environ.get(name):
            command += ["--env", name]
    return [*command, "--entrypoint", "/usr/bin/python3", tag, "/source/docker/builder/build.py"]


def build(environment: str) -> None:
    """Build the releases of the application and of the load tests, where they are not built yet."""
    host = next(iter(inventory.hosts_by_group(ROOT / "ansible/inventories" / environment)["app"]))
    values = inventory.variables(environment, host)
    for plan in (application_plan(values), loadtests_plan()):
        build_one(identify(plan))
    prune()


def prune(keep: int = 8) -> None:
    """Keep the newest releases; older ones can be built again from their commit."""
    folders = sorted((BUILD / "releases").iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    current = {json.loads(path.read_text())["release"] for path in BUILD.glob("*.json")}
    for folder in folders[keep:]:
        if folder.name.rsplit("-", 1)[1] not in current:
            subprocess.run(["rm", "-rf", "--", str(folder)], check=False)
