"""`python -m loadtests.impact`: what `make impact` runs. Exit code 0: every promise was kept; 1: one was broken; 2: not tried."""

import argparse
import os
import sys
from pathlib import Path

from loadtests.lab import results
from loadtests.lab.errors import LabError
from loadtests.lab.world import ROOT

# Setting -> default, least, most.
NUMBERS = {
    "PAGES": (100, 1, 1000),
    "SOCKETS": (300, 1, 2000),
    "MESSAGES": (20, 1, 200),
    "STREAMS": (20, 0, 200),
    "POLLERS": (20, 0, 200),
    "ROUNDS": (1, 1, 10),
}
INTERRUPTED = 130


def number(name: str) -> int:
    default, least, most = NUMBERS[name]
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
        raise LabError(f"{name} is {text!r}; expected a number from {least} to {most}, as in: make impact {name}={default}")
    return int(text)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure() -> int:
    from loadtests.lab.hosts import Hosts

    from . import operations, run
    from .people import Amounts

    amounts = Amounts(*(number(name) for name in ("PAGES", "SOCKETS", "MESSAGES", "STREAMS", "POLLERS")))
    chosen = operations.choose(operations.read(), os.environ.get("ONLY") or "")
    rounds = number("ROUNDS")
    hosts = Hosts(os.environ.get("ENVIRONMENT") or "local")
    with results.alone():
        folder = run.new_folder()
        say(f"{len(chosen)} operations, {rounds} {'times' if rounds > 1 else 'time'}, with people connected:")
        result = run.run(hosts, chosen, amounts, rounds, folder, say)
    wrong = [row for row in result["rows"] if row["broken"]]
    shown = folder.relative_to(ROOT)
    say(f"\n{len(result['rows'])} operations, {len(wrong)} of them broke a promise. {shown}/impact.json")
    say(f"The page: .venv/bin/python -m loadtests.impact docs {shown}")
    if result["state"] == "interrupted":
        return INTERRUPTED
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.impact", description=__doc__)
    verbs = parser.add_subparsers(dest="verb")
    docs = verbs.add_parser("docs", help="write docs/impact.md from a result, and keep the result beside it")
    docs.add_argument("result", nargs="?", type=Path, help="a result's folder (default: the committed one again)")
    options = parser.parse_args()
    try:
        if options.verb == "docs":
            from .page import publish

            for path in publish(options.result):
                say(str(path.relative_to(ROOT)))
            return 0
        return measure()
    except LabError as error:
        print(f"laurel: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
