"""Run a suite of tests in the builder container: `python -m cluster.testbed SUITE`.

There are the hosts' own Python, PostgreSQL, Redis, Mosquitto and systemd-analyze, so that a machine needs none of them.
The virtual environment of the tests lies in build/ and is made anew when one of the locks changes.
"""

import os
import subprocess
import sys

from . import engine, image
from .console import Failure, run, step
from .paths import BUILD, ROOT
from .release import CA_BUNDLE, PASSED_ON, fingerprint

# Suite -> the folder it runs in, what pytest is given, and whether it wants PostgreSQL and Redis.
SUITES = {
    "app": ("app", ["tests"], True),
    "daphne": (".", ["-p", "no:asyncio", "-c", "tests/pytest.ini", "tests/hostless/daphne"], False),
    "fuzz": (".", ["-p", "no:asyncio", "-c", "tests/pytest.ini", "tests/hostless/daphne/test_daphne_fuzz.py"], False),
    "mqtt": (".", ["-p", "no:asyncio", "-c", "tests/pytest.ini", "tests/hostless/mqtt"], True),
    "lab": (".", ["-p", "no:asyncio", "-c", "tests/pytest.ini", "tests/hostless/lab"], False),
    "lab-check": (".", ["-p", "no:asyncio", "-c", "tests/pytest.ini", "-v", "tests/hostless/lab/check"], False),
}
LOCKS = [
    "app/requirements.txt", "app/requirements-test.txt", "daphne/requirements.txt", "mqtt/requirements.txt",
    "uwsgi/requirements.txt", "loadtests/requirements.txt", "loadtests/lab/requirements.txt",
]  # fmt: skip


def container(tag: str, network: str, *command: str) -> list[str]:
    argv = ["docker", "run", "--rm", "--init", "--network", network, "--volume", f"{ROOT}:/source:ro", "--volume", f"{BUILD}:/build"]
    argv += ["--tmpfs", "/tmp:exec", "--tmpfs", "/run", "--env", "HOME=/tmp", "--env", "PYTHONDONTWRITEBYTECODE=1"]
    if CA_BUNDLE.is_file():
        argv += ["--volume", f"{CA_BUNDLE}:{CA_BUNDLE}:ro", "--env", f"PIP_CERT={CA_BUNDLE}"]
    for name in PASSED_ON:
        if os.environ.get(name):
            argv += ["--env", name]
    return [*argv, tag, "sh", *command]


def environment() -> tuple[str, str]:
    """The builder image's tag and the tests' virtual environment in it, which is made where it is missing."""
    engine.ensure()
    tag = image.builder()
    locks = [lock for lock in LOCKS if (ROOT / lock).is_file()]
    venv = f"test-venv-{fingerprint([ROOT / lock for lock in locks], tag)}"
    if not (BUILD / venv / ".complete").is_file():
        with step("Making the tests' virtual environment"):
            run(container(tag, "host", "/source/docker/builder/test-venv", f"/build/{venv}", *locks), log="test-venv")
    return tag, f"/build/{venv}"


def command(suite: str, tag: str, venv: str, *more: str) -> list[str]:
    """What runs a suite, with more arguments for pytest. Loopback only: what is tested reaches nothing else."""
    folder, arguments, services = SUITES[suite]
    wanted = "services" if services else "alone"
    return container(tag, "none", "/source/docker/builder/test-run", venv, folder, wanted, *arguments, *more)


def main() -> int:
    suite = sys.argv[1] if len(sys.argv) == 2 else ""
    if suite not in SUITES:
        print(f"laurel: expected one of {', '.join(SUITES)}", file=sys.stderr)
        return 2
    try:
        tag, venv = environment()
    except Failure as failure:
        print(f"laurel: {failure}", file=sys.stderr)
        return 2
    return subprocess.call(command(suite, tag, venv))


if __name__ == "__main__":
    sys.exit(main())
