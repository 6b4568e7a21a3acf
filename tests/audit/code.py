"""Judges that read the repository: bandit, ruff's S rules, and the linters of the tests."""

import json
import os
import subprocess

from cluster.paths import ROOT, VENV

from .scores import Finding, Score, counted
from .tools import environment, said

# What runs on hosts or on the controller; tests are neither.
FOLDERS = ["app", "daphne", "docker", "loadtests", "mqtt"]
TESTS = "app/tests"


def bandit() -> list[Score]:
    command = [environment() / "bandit", "--quiet", "--recursive", *FOLDERS, "--exclude", f"./{TESTS},{TESTS}", "--format", "json"]
    results = json.loads(said(command, codes=(0, 1), cwd=ROOT))["results"]
    found = [Finding(item["test_id"], f"{item['filename']}:{item['line_number']}", item["issue_text"]) for item in results]
    return [counted("bandit", "Python", found)]


def ruff() -> list[Score]:
    command = [VENV / "bin/ruff", "check", "--select", "S", "--ignore-noqa", "--output-format", "json", "--exclude", TESTS, *FOLDERS]
    results = json.loads(said(command, codes=(0, 1), cwd=ROOT))
    found = []
    for item in results:
        where = f"{os.path.relpath(item['filename'], ROOT)}:{item['location']['row']}"
        found.append(Finding(item["code"], where, item["message"]))
    return [counted("ruff-S", "Python", found)]


def lint() -> list[Score]:
    done = subprocess.run([ROOT / "tests/run", "lint"], capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=ROOT)
    findings = [] if done.returncode == 0 else [Finding("lint", "tests/run lint", (done.stdout + done.stderr)[-400:])]
    return [counted("lint", "repository", findings)]
