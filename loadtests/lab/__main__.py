"""The lab's command line: `python -m loadtests.lab bench | report | compare | plan | docs`."""

import argparse
import os
import random
import signal
import sys
from pathlib import Path

from . import results
from .errors import LabError
from .plan import expand, find_plan, load_plan, parse_plan
from .progress import duration
from .reading import read_yaml
from .world import ROOT, load_world

BAD_INPUT = 2
INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    for signum in (signal.SIGINT, signal.SIGTERM):  # a shell that runs it in the background has switched SIGINT off
        signal.signal(signum, signal.default_int_handler)
    try:
        return options.action(options)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m loadtests.lab", description="Measure what is deployed.")
    verbs = top.add_subparsers(required=True, metavar="VERB")
    latest = results.RESULTS / "latest"

    bench = verbs.add_parser("bench", help="compare what the scenarios declare, under load")
    bench.add_argument("--plan", default="bench", help="a plan in loadtests/lab/plans, or a YAML file (default: bench)")
    bench.add_argument("--scenario", action="append", help="only this scenario; may be repeated")
    bench.add_argument("--rounds", type=int, help="instead of the declared ones")
    bench.add_argument("--seed", type=int, help="order and arrival times; recorded in the result (default: random)")
    bench.add_argument("--resume", type=Path, metavar="FOLDER", help="go on with an unfinished result")
    bench.add_argument("--environment", default=os.environ.get("ENVIRONMENT") or "local", help="inventory (ENVIRONMENT)")
    bench.set_defaults(action=do_bench)

    report = verbs.add_parser("report", help="write report.html again and print the table")
    report.add_argument("result", nargs="?", type=Path, default=latest, help="folder or file of a result")
    report.set_defaults(action=do_report)

    compare = verbs.add_parser("compare", help="compare two results of the same plan")
    compare.add_argument("a", type=Path, help="the result before")
    compare.add_argument("b", type=Path, nargs="?", default=latest, help="the result after (default: the newest)")
    compare.set_defaults(action=do_compare)

    plan = verbs.add_parser("plan", help="check a plan and print what it would do")
    plan.add_argument("plan", nargs="?", default="bench")
    plan.add_argument("--seed", type=int, default=1)
    plan.set_defaults(action=do_plan)

    docs = verbs.add_parser("docs", help="write docs/results.md and its plots from a result, and keep the result beside them")
    docs.add_argument("result", nargs="?", type=Path, help="a new result of the full plan (default: the committed one again)")
    docs.set_defaults(action=do_docs)
    return top


def do_bench(options: argparse.Namespace) -> int:
    from . import run
    from .hosts import Hosts

    world, resumed = load_world(), None
    seed, folder = options.seed or random.SystemRandom().randrange(1, 2**31), None
    if options.resume:
        resumed = results.read(options.resume)
        folder, seed = options.resume.resolve(), resumed["seed"]
        plan = parse_plan(resumed["plan"], world, str(options.resume))
    else:
        path = find_plan(options.plan)
        plan = parse_plan(expand(read_yaml(path), str(path), options.scenario, options.rounds), world, str(path))
    hosts = Hosts(options.environment)
    world.sizes.update(hosts.scaled)  # this environment's, which may differ from the defaults
    with results.alone():
        folder = folder or results.new_folder()
        result = run.bench(plan, hosts, seed, folder, resumed)
    if not result["trials"]:
        print("Nothing was measured.", file=sys.stderr)
        return INTERRUPTED
    show(folder, result)
    if result["state"] != "complete":
        print(f"The run is {result['state']}. Go on with it: make bench RESUME={shown(folder)}")
    return INTERRUPTED if result["state"] == "interrupted" else 0


def shown(folder: Path) -> Path:
    """A folder as a person would type it."""
    return folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder


def do_report(options: argparse.Namespace) -> int:
    show(options.result, results.read(options.result))
    return 0


def show(folder: Path, result: dict) -> None:
    from .report import write_report
    from .table import render

    if not result.get("summary"):
        raise LabError(f"{folder} holds no finished trial. Go on with it: make bench RESUME={shown(folder)}")
    path = write_report(folder if folder.is_dir() else folder.parent, result)
    print("\n" + render(result) + f"\n\n{path}")


def do_compare(options: argparse.Namespace) -> int:
    from .compare import compare, render

    print(render(compare(results.read(options.a), results.read(options.b)), str(options.a), str(options.b)))
    return 0


def do_plan(options: argparse.Namespace) -> int:
    from .trial import timetable

    plan = load_plan(find_plan(options.plan))
    print(f"{plan.question}\nAbout {duration(plan.seconds)}, at most {plan.minutes:g} minutes, seed {options.seed}:")
    for slot in timetable(plan, options.seed):
        print(f"  {slot.scenario:<9}  round {slot.round}  {slot.candidate}{' (twin)' if slot.twin else ''}")
    for scenario in plan.scenarios.values():
        for name, candidate in scenario.candidates.items():
            if candidate.missing:
                print(f"  {scenario.name}: {name} can't be measured: {candidate.missing}")
        if scenario.capacity:
            print(f"  {scenario.name}: capacity of {', '.join(scenario.capacity.candidates)} by {scenario.capacity.vary}")
    return 0


def do_docs(options: argparse.Namespace) -> int:
    from .docs import publish

    for path in publish(options.result):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
