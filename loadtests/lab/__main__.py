"""The lab's command line: `python -m loadtests.lab bench | report | plan`."""

import argparse
import os
import random
import sys
from pathlib import Path

from . import results
from .errors import LabError
from .plan import TOPOLOGIES_FILE, find_plan, load_plan, parse_plan, read_yaml
from .progress import duration


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    try:
        return options.action(options)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m loadtests.lab", description="Measure what is deployed.")
    verbs = top.add_subparsers(required=True, metavar="VERB")

    bench = verbs.add_parser("bench", help="compare the topologies under load")
    bench.add_argument("--plan", default="bench", help="a plan in loadtests/lab/plans, or a YAML file (default: bench)")
    bench.add_argument("--scenario", action="append", help="only this scenario; may be repeated")
    bench.add_argument("--rounds", type=int, help="instead of the plan's")
    bench.add_argument("--seed", type=int, help="order and arrival times; recorded in the result (default: random)")
    bench.add_argument("--resume", type=Path, metavar="FOLDER", help="go on with an unfinished result")
    bench.add_argument("--environment", default=os.environ.get("ENVIRONMENT") or "local", help="inventory (ENVIRONMENT)")
    bench.set_defaults(action=do_bench)

    report = verbs.add_parser("report", help="write report.html again and print the table")
    report.add_argument("result", nargs="?", type=Path, default=results.RESULTS / "latest", help="folder of a result")
    report.set_defaults(action=do_report)

    plan = verbs.add_parser("plan", help="check a plan and print what it would do")
    plan.add_argument("plan", nargs="?", default="bench")
    plan.add_argument("--seed", type=int, default=1)
    plan.set_defaults(action=do_plan)
    return top


def do_bench(options: argparse.Namespace) -> int:
    from . import run
    from .hosts import Hosts

    resumed, seed, folder = None, options.seed or random.SystemRandom().randrange(1, 2**31), None
    if options.resume:
        resumed = results.read(options.resume)
        folder, seed = options.resume.resolve(), resumed["seed"]
        plan = parse_plan(resumed["plan"], read_yaml(TOPOLOGIES_FILE), str(options.resume))
    else:
        path = find_plan(options.plan)
        data = read_yaml(path)
        plan = parse_plan(narrowed(data, options), read_yaml(TOPOLOGIES_FILE), str(path))
    hosts = Hosts(options.environment)
    with results.alone():
        folder = folder or results.new_folder()
        result = run.bench(plan, hosts, seed, folder, resumed)
    if not result["trials"]:
        print("Nothing was measured.", file=sys.stderr)
        return 130
    show(folder, result)
    if result["state"] == "interrupted":
        print(f"Go on with it: python -m loadtests.lab bench --resume {folder}")
        return 130
    return 0


def narrowed(data: dict, options: argparse.Namespace) -> dict:
    """The plan with what the command line changes, so that the result records what was really run."""
    if options.scenario:
        missing = [name for name in options.scenario if name not in data.get("scenarios", {})]
        if missing:
            raise LabError(f"The plan has no scenario {missing[0]!r}, only {', '.join(data['scenarios'])}.")
        data = data | {"scenarios": {name: data["scenarios"][name] for name in options.scenario}}
    if options.rounds is not None:
        data = data | {"rounds": options.rounds}
    return data


def do_report(options: argparse.Namespace) -> int:
    show(options.result, results.read(options.result))
    return 0


def show(folder: Path, result: dict) -> None:
    from .report import write_report
    from .table import render

    if not result.get("summary"):
        raise LabError(f"{folder} holds no finished trial. Go on with it: bench --resume {folder}")
    path = write_report(folder if folder.is_dir() else folder.parent, result)
    print("\n" + render(result) + f"\n\n{path}")


def do_plan(options: argparse.Namespace) -> int:
    from .trial import timetable

    plan = load_plan(find_plan(options.plan))
    slots = timetable(plan, options.seed)
    print(f"{plan.question}\n{len(slots)} trials, about {duration(len(slots) * plan.trial_seconds)}, seed {options.seed}:")
    for slot in slots:
        print(f"  round {slot.round}  {slot.scenario:<7} {slot.topology}{' (twin)' if slot.twin else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
