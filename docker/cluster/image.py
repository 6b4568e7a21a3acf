"""The images: a Debian base, the node (a host), and the builder (what builds a release).

Tags are hashes of what an image is made from, so that an unchanged image is never made twice and a
changed one never missed. Images are shared between the checkouts of a machine.
"""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from .console import Failure, output, run, step
from .paths import ROOT

SUITE = "bookworm"
BASE = "laurel-debian"
NODE = "laurel-node"
BUILDER = "laurel-builder"
REGISTRY_IMAGE = "debian:12"
# What the node image would install; put into an archive-made base so that it is fetched only once.
NODE_PACKAGES = "systemd,systemd-sysv,dbus,openssh-server,python3,python3-apt,sudo,iproute2,ca-certificates,nftables"
PULL_SECONDS = 120


def digest(*folders: Path, extra: str = "") -> str:
    total = hashlib.sha256(extra.encode())
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]


def exists(tag: str) -> bool:
    return output(["docker", "image", "inspect", "--format", "{{.Id}}", tag]) is not None


def node_tag() -> str:
    return f"{NODE}:{digest(ROOT / 'docker/node', extra=NODE_PACKAGES)}"


def builder_tag() -> str:
    return f"{BUILDER}:{digest(ROOT / 'docker/node', ROOT / 'docker/builder', extra=NODE_PACKAGES)}"


def debian_sources() -> list[str]:
    """Debian's archive as this machine's own apt knows it: lines for a sources.list."""
    listed = output(["apt-get", "indextargets", "--format", "$(SITE) $(CODENAME) $(LABEL)", "Created-By: Packages"]) or ""
    lines = []
    for line in dict.fromkeys(listed.splitlines()):
        site, codename, label = line.split(maxsplit=2)
        if label in ("Debian", "Debian-Security") and codename.split("-")[0] == SUITE:
            lines.append(f"deb {site} {codename} main")
    return lines


def pull_base() -> bool:
    try:
        done = subprocess.run(["docker", "pull", "--quiet", REGISTRY_IMAGE], capture_output=True, timeout=PULL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def make_base() -> None:
    """Make Debian's base from its archive and import it as an image."""
    if os.geteuid() != 0:
        raise Failure(f"no registry answered for {REGISTRY_IMAGE}; making it from Debian's archive needs root: sudo make deploy")
    with tempfile.TemporaryDirectory(prefix="laurel-base-") as folder:
        archive = Path(folder) / "base.tar"
        run(
            ["mmdebstrap", "--variant=minbase", f"--include={NODE_PACKAGES}", SUITE, archive, *debian_sources()],
            log="base-image",
        )
        run(["docker", "import", archive, f"{BASE}:{SUITE}"], log="base-import")


def base() -> str:
    if exists(f"{BASE}:{SUITE}"):
        return f"{BASE}:{SUITE}"
    if exists(REGISTRY_IMAGE):
        return REGISTRY_IMAGE
    with step("Looking for Debian's image in a registry"):
        pulled = pull_base()
    if pulled:
        return REGISTRY_IMAGE
    with step("No registry answers: making the image from Debian's archive"):
        make_base()
    return f"{BASE}:{SUITE}"


def build(tag: str, folder: Path, base_tag: str) -> None:
    # The legacy builder is in every engine; BuildKit needs a plug-in that Debian's engine lacks.
    run(
        ["docker", "build", "--network", "host", "--build-arg", f"BASE={base_tag}", "--tag", tag, folder],
        log=f"image-{tag.split(':')[0]}", env={"DOCKER_BUILDKIT": "0"},
    )  # fmt: skip


def node() -> str:
    tag = node_tag()
    if not exists(tag):
        from_tag = base()
        with step("Building the node image"):
            build(tag, ROOT / "docker/node", from_tag)
    return tag


def builder() -> str:
    tag = builder_tag()
    if not exists(tag):
        from_tag = node()
        with step("Building the builder image"):
            build(tag, ROOT / "docker/builder", from_tag)
    return tag
