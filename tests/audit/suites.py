"""Suites of ours that send what an attacker would: to the deployed edge, and to the launcher alone."""

import os
import tempfile
import xml.etree.ElementTree
from pathlib import Path

from cluster import testbed
from cluster.console import Failure, step
from cluster.paths import BUILD, ROOT, VENV

from .edge import edge
from .scores import Finding, Score, counted
from .tools import said

FRAMING = "tests/cluster/test_45_framing.py"
FEWEST = {"framing": 60, "fuzz": 12}  # they are 68 and 15; fewer means that they did not run
SECONDS = 900


def verdict(judge: str, subject: str, written: Path) -> list[Score]:
    """The score of what pytest wrote (--junitxml): the number of tests that failed. Raises Failure where too few ran."""
    if not written.is_file():
        raise Failure("pytest wrote no results")
    cases = list(xml.etree.ElementTree.parse(written).iter("testcase"))
    ran = [case for case in cases if case.find("skipped") is None]
    if len(ran) < FEWEST[judge]:
        raise Failure(f"{len(ran)} tests of the suite ran; expected at least {FEWEST[judge]}")
    found = []
    for case in ran:
        wrong = case.find("failure") if case.find("failure") is not None else case.find("error")
        if wrong is not None:
            found.append(Finding(case.get("name", ""), case.get("classname", ""), " ".join(wrong.get("message", "").split())[:200]))
    return [counted(judge, subject, found)]


def framing() -> list[Score]:
    """The deployed cluster as it is: nothing is deployed first."""
    edge()  # there is a cluster, or Failure
    with tempfile.TemporaryDirectory() as folder, step("Sending requests that two parsers may read differently"):
        written = Path(folder) / "results.xml"
        command = [VENV / "bin/pytest", "-q", "-p", "no:cacheprovider", "-c", "tests/pytest.ini", f"--junitxml={written}", FRAMING]
        environment = os.environ | {"LAUREL_CHECKOUT": str(ROOT), "LAUREL_AS_IT_IS": "1"}
        said(command, codes=(0, 1), seconds=SECONDS, cwd=ROOT, env=environment)
        return verdict("framing", "edge", written)


def fuzz() -> list[Score]:
    """In the builder container, where the tests of the launcher run."""
    tag, venv = testbed.environment()
    written = BUILD / "audit-fuzz.xml"
    written.unlink(missing_ok=True)
    with step("Sending frames that no browser sends"):
        said(testbed.command("fuzz", tag, venv, f"--junitxml=/build/{written.name}"), codes=(0, 1), seconds=SECONDS)
    return verdict("fuzz", "launcher", written)
