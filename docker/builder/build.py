"""Build one release, inside the builder container. Only the hosts' own Python and its standard library.

Reads its plan from PLAN (see docker/cluster/release.py), the repository from /source, and writes
    /build/wheels/<wheels>.tar                      every wheel the release needs, and their list
    /build/releases/<name>-<release>/code.tar.gz    the source
                                     static.tar.gz  hashed, gzip and brotli beside each file
                                     sbom.cdx.json  the bill of materials (CycloneDX)
                                     manifest.json  versions and hashes
Archives of code and static files are reproducible: sorted, with the commit's time, owned by nobody in particular.
"""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import uuid
import zipfile
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path

import brotli

SOURCE = Path("/source")
BUILD = Path("/build")
IGNORED = {"__pycache__", ".pytest_cache", ".ruff_cache", "staticfiles", "node_modules", ".venv", "tests"}
COMPRESSED = {".css", ".js", ".svg", ".html", ".txt", ".json", ".map", ".xml", ".ico", ".webmanifest"}
SMALLEST_COMPRESSED = 256  # bytes; below it, headers outweigh what compression saves


def run(*command: str | Path, **options) -> None:
    print("$", *command, flush=True)
    subprocess.run([str(word) for word in command], check=True, **options)


def add(archive: tarfile.TarFile, path: Path, name: str, epoch: int) -> None:
    info = archive.gettarinfo(str(path), name)
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    info.mtime = epoch
    info.mode = 0o755 if info.mode & 0o100 else 0o644
    with path.open("rb") as content:
        archive.addfile(info, content)


def pack(target: Path, members: list[tuple[Path, str]], epoch: int) -> None:
    """Write a tar (gzipped where its name says so), whole or not at all."""
    partial = target.with_name(target.name + ".partial")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        # The mark of completeness goes last.
        for path, name in sorted(members, key=lambda member: (member[1].startswith(".releases/"), member[1])):
            add(archive, path, name, epoch)
    data = buffer.getvalue()
    if target.suffix == ".gz":
        data = gzip.compress(data, compresslevel=6, mtime=epoch)
    partial.write_bytes(data)
    partial.replace(target)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_wheelhouse(plan: dict, work: Path) -> Path:
    """Every lock's wheels in one folder; refuse two versions of one project."""
    house = work / "wheels"
    house.mkdir()
    target = BUILD / "wheels" / f"{plan['wheels']}.tar"
    if target.is_file():
        with tarfile.open(target) as archive:
            archive.extractall(house, filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(house)
        return house
    tools = work / "tools"
    run(sys.executable, "-m", "venv", "--system-site-packages", tools)
    for lock in plan["requirements"]:
        # What compiles uses Debian's setuptools (no build isolation): nothing unhashed comes from an index.
        # uWSGI's C build: no regular expressions, which routing rules of its own would want and nginx does here.
        run(
            tools / "bin/pip", "wheel", "--disable-pip-version-check", "--require-hashes", "--no-deps", "--no-build-isolation",
            "--cache-dir", BUILD / "cache", "--wheel-dir", house, "--requirement", SOURCE / lock,
            env={**os.environ, "UWSGI_PROFILE_OVERRIDE": "pcre=false;ssl=false;xml=false", "SOURCE_DATE_EPOCH": str(plan["epoch"])},
        )  # fmt: skip
    versions: dict[str, set[str]] = {}
    for wheel in house.glob("*.whl"):
        project, version = wheel.name.split("-")[:2]
        versions.setdefault(project.lower(), set()).add(version)
    clashes = [f"{project} {' and '.join(sorted(found))}" for project, found in versions.items() if len(found) > 1]
    if clashes:
        sys.exit(f"the locks {', '.join(plan['requirements'])} disagree on {'; '.join(clashes)}; lock them with one another as constraints")
    (BUILD / "wheels").mkdir(exist_ok=True)
    pack(target, [(wheel, wheel.name) for wheel in house.glob("*.whl")], plan["epoch"])
    return house


def collect_static(plan: dict, house: Path, work: Path) -> Path:
    """Run collectstatic in a virtual environment made from the wheelhouse, then compress beside each file."""
    venv, code, static = work / "venv", work / "code", work / "static"
    run(sys.executable, "-m", "venv", venv)
    run(venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", *house.glob("*.whl"))
    environment = {
        **os.environ, **plan["environment"], "STATIC_ROOT": str(static),
        "DJANGO_SETTINGS_MODULE": plan["settings_module"], "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    run(venv / "bin/python", "-m", "django", "collectstatic", "--noinput", cwd=code, env=environment | {"PYTHONPATH": str(code)})
    for path in [path for path in static.rglob("*") if path.is_file()]:
        data = path.read_bytes()
        if path.suffix in COMPRESSED and len(data) >= SMALLEST_COMPRESSED:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(data, 9, mtime=plan["epoch"]))
            path.with_name(path.name + ".br").write_bytes(brotli.compress(data, quality=11))
    # Unpacked with the rest, it says that this release's files are there.
    (static / ".releases").mkdir()
    (static / ".releases" / plan["release"]).touch()
    return static


def license_of(about) -> list[dict]:
    """What a wheel's METADATA says of its licence, in CycloneDX's terms."""
    if about["License-Expression"]:
        return [{"expression": about["License-Expression"]}]
    said = (about["License"] or "").strip()
    # Some put the whole text there.
    return [{"license": {"name": said}}] if said and "\n" not in said and said.upper() != "UNKNOWN" else []


def component(wheel: Path) -> dict:
    """A wheel as a component; the hash is that of the wheel that is shipped, which may have been built here."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.count("/") == 1 and name.endswith(".dist-info/METADATA"))
        about = message_from_bytes(archive.read(metadata))
    name = re.sub(r"[-_.]+", "-", about["Name"]).lower()
    found = {
        "type": "library",
        "bom-ref": f"pkg:pypi/{name}@{about['Version']}",
        "name": name,
        "version": about["Version"],
        "purl": f"pkg:pypi/{name}@{about['Version']}",
        "hashes": [{"alg": "SHA-256", "content": sha256(wheel)}],
    }
    return found | ({"licenses": licenses} if (licenses := license_of(about)) else {})


def bill_of_materials(plan: dict, house: Path) -> dict:
    """What the release is made of, in CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/); the same for the same commit and wheels."""
    root = f"{plan['name']}@{plan['release']}"
    components = sorted((component(wheel) for wheel in house.glob("*.whl")), key=lambda found: found["bom-ref"])
    python = ".".join(map(str, sys.version_info[:3]))
    platform = {"type": "platform", "bom-ref": f"python@{python}", "name": "python", "version": python}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, root + plan['commit'])}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(plan["epoch"], UTC).isoformat(),
            "component": {"type": "application", "bom-ref": root, "name": plan["name"], "version": plan["release"]},
            "properties": [{"name": "laurel:commit", "value": plan["commit"]}],
        },
        "components": [platform, *components],
        "dependencies": [{"ref": root, "dependsOn": [found["bom-ref"] for found in [platform, *components]]}],
    }


def copy_code(plan: dict, work: Path) -> list[tuple[Path, str]]:
    code = work / "code"
    shutil.copytree(SOURCE / plan["source"], code / plan["package"], ignore=lambda _, names: IGNORED & set(names))
    (code / "RELEASE").write_text(plan["release"] + "\n")
    return [(path, path.relative_to(code).as_posix()) for path in code.rglob("*") if path.is_file() and path.suffix != ".pyc"]


def main() -> None:
    plan = json.loads(os.environ["PLAN"])
    target = BUILD / "releases" / f"{plan['name']}-{plan['release']}"
    shutil.rmtree(target, ignore_errors=True)  # half of one, from a killed run
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        house = make_wheelhouse(plan, work)
        members = copy_code(plan, work)
        pack(target / "code.tar.gz", members, plan["epoch"])
        if plan["settings_module"]:
            static = collect_static(plan, house, work)
            pack(
                target / "static.tar.gz",
                [(path, path.relative_to(static).as_posix()) for path in static.rglob("*") if path.is_file()],
                plan["epoch"],
            )
        (target / "sbom.cdx.json").write_text(json.dumps(bill_of_materials(plan, house), indent=2) + "\n")
        manifest = {
            "name": plan["name"],
            "release": plan["release"],
            "wheels": plan["wheels"],
            "commit": plan["commit"],
            "python": ".".join(map(str, sys.version_info[:3])),
            "packages": {"==".join(wheel.name.split("-")[:2]): sha256(wheel) for wheel in sorted(house.glob("*.whl"))},
            "archives": {path.name: sha256(path) for path in sorted(target.glob("*.tar.gz"))},
            "sbom": sha256(target / "sbom.cdx.json"),
        }
    # Last: its presence says that the release is whole.
    (target / "manifest.json.partial").write_text(json.dumps(manifest, indent=2) + "\n")
    (target / "manifest.json.partial").replace(target / "manifest.json")


if __name__ == "__main__":
    main()
