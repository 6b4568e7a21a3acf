"""A release built twice is the same release, and its bill of materials names what is in it."""

import hashlib
import io
import json
import subprocess
import tarfile

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from cluster import image, release
from cluster.paths import BUILD, ROOT

DATA = ROOT / "ansible/group_vars/all"


def plan():
    values = {}
    for name in ("application", "servers"):
        values |= yaml.safe_load((DATA / f"{name}.yml").read_text())
    return release.identify(release.application_plan(values))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two folders with the same release; each from the same wheels, where these are there already."""
    wanted, folders = plan(), []
    patch = pytest.MonkeyPatch()
    for number in (1, 2):
        folder = tmp_path_factory.mktemp(f"build{number}")
        (folder / "wheels").mkdir()
        before = (folders[0] if folders else BUILD) / f"wheels/{wanted.wheels}.tar"
        if before.is_file():
            (folder / "wheels" / before.name).write_bytes(before.read_bytes())
        patch.setattr(release, "BUILD", folder)
        done = subprocess.run(release.builder_command(image.builder(), wanted), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        folders.append(folder)
    patch.undo()
    return [folder / f"releases/app-{wanted.release}" for folder in folders], folders[0] / f"wheels/{wanted.wheels}.tar"


def test_the_same_commit_gives_the_same_archives(built):
    first, second = ({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()} for folder in built[0])
    assert first == second
    assert set(first) == {"code.tar.gz", "static.tar.gz", "sbom.cdx.json", "manifest.json"}


def test_the_bill_of_materials_is_one(built):
    text = (built[0][0] / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.replace('"library"', '"liberty"')) is not None


def test_it_names_each_wheel_with_its_hash(built):
    bill = json.loads((built[0][0] / "sbom.cdx.json").read_text())
    listed = {part["hashes"][0]["content"]: part for part in bill["components"] if part["type"] == "library"}
    with tarfile.open(fileobj=io.BytesIO(built[1].read_bytes())) as wheels:
        shipped = {hashlib.sha256(wheels.extractfile(member).read()).hexdigest(): member.name for member in wheels}
    assert listed.keys() == shipped.keys()
    assert {part["name"] for part in listed.values()} >= {"django", "channels", "daphne", "uwsgi", "psycopg"}
    for digest, part in listed.items():
        name, version = shipped[digest].split("-")[:2]
        assert (part["name"].replace("-", "_"), part["version"]) == (name.lower().replace(".", "_"), version)
        assert part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}"
    assert sum("licenses" in part for part in listed.values()) > len(listed) / 2
