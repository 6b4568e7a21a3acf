"""Judges of nginx's configuration, as it is rendered for the edge in each topology."""

import json
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from cluster.console import Failure, step
from cluster.paths import ROOT

from .scores import Finding, Score, counted
from .tools import environment, said

CONFIGS = ROOT / "tests/hostless/configs"
RENDER = "import sys, pathlib, conftest; f = pathlib.Path(sys.argv[1]); conftest.render(f); conftest.lay_out(f, conftest.texts(f))"


@cache
def rendered() -> Path:
    """A folder with trees/<variant>/<host>/…, from the tests' own rendering. It ends with the process."""
    holder = tempfile.TemporaryDirectory(prefix="laurel-audit-")
    rendered.holder = holder
    with step("Rendering the configuration of each topology"):
        done = subprocess.run([sys.executable, "-c", RENDER, holder.name], cwd=CONFIGS, capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"the templates cannot be rendered; see: tests/run configs\n{done.stderr[-1000:]}")
    return Path(holder.name) / "trees"


def _gixy(judge: str, lock: str) -> list[Score]:
    program = environment(lock) / "gixy"
    scores = []
    for tree in sorted(rendered().iterdir()):
        out = said([program, "--format", "json", tree / "edge/etc/laurel/nginx/nginx.conf"], codes=(0, 1))
        found = [
            Finding(item["plugin"], f"{tree.name}: {' '.join(item['config'].split())[:120]}", item["summary"]) for item in json.loads(out)
        ]
        scores.append(counted(judge, tree.name, found))
    return scores


def gixy_ng() -> list[Score]:
    return _gixy("gixy-ng", "gixy-ng")


def gixy_next() -> list[Score]:
    return _gixy("gixy-next", "gixy-next")
