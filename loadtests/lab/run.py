"""Run a plan: prepare the hosts, take the trials in turn, write after each, and leave all as it was."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import METHOD_VERSION, provenance, results
from .calibration import calibrate
from .errors import LabError
from .hosts import Hosts
from .plan import HARD_LIMIT_MINUTES, Plan
from .progress import Progress, duration
from .statistics import summarise
from .trial import SESSIONS_FILE, Slot, run_trial, timetable
from .validity import reasons_against


def bench(plan: Plan, hosts: Hosts, seed: int, folder: Path, resumed: dict[str, Any] | None = None) -> dict[str, Any]:
    """Take all trials of the plan that `resumed` does not have; return the result (also on disk).

    ctrl-C ends the run early: what was measured is kept, `state` says `interrupted`.
    """
    began = time.monotonic()
    slots = timetable(plan, seed)
    result = resumed or new_result(plan, seed)
    result.setdefault("discarded", [])
    done = {trial["id"] for trial in result["trials"]}
    waiting = [slot for slot in slots if slot.id not in done]
    progress = Progress(len(slots), len(done), plan.trial_seconds)
    guess = duration(len(waiting) * plan.trial_seconds)
    progress.say(f"{plan.question}\n{len(waiting)} trials in {plan.rounds} rounds, about {guess}. Results: {folder}")
    try:
        with prepared(plan, hosts, progress) as pinning:
            result["provenance"] = provenance.gather(hosts, plan, pinning)
            if not result["provenance"]["load_code_is_this_checkout"]:
                progress.say("  note: the load host has other load code than this checkout; `make deploy` brings it")
            results.write(folder, result)
            take_trials(plan, hosts, waiting, result, folder, progress, began)
        result["state"] = "complete" if len(result["trials"]) == len(slots) else "shortened"
    except KeyboardInterrupt:
        result["state"] = "interrupted"
        progress.say("\nInterrupted. What was measured is kept.")
    except LabError:
        result["state"] = "failed"
        raise
    finally:
        result["seconds"] = result.get("seconds", 0) + time.monotonic() - began
        result["summary"] = summarise(result["trials"], plan.baseline, plan.topologies)
        if result["trials"]:
            results.write(folder, result)
        else:
            results.drop(folder)
    return result


def new_result(plan: Plan, seed: int) -> dict[str, Any]:
    return {
        "format": results.FORMAT,
        "method": METHOD_VERSION,
        "state": "running",
        "started_unix": time.time(),
        "seed": seed,
        "plan": plan.source,
        "topologies": {t.name: {"http": t.http, "websocket": t.websocket} for t in plan.topologies.values()},
        "trials": [],
        "discarded": [],
    }


def take_trials(plan: Plan, hosts: Hosts, waiting: list, result: dict, folder: Path, progress: Progress, began: float) -> None:
    """Run the trials and write the result after each. Ends before a round that would not fit the time."""
    number = None
    for slot in waiting:
        if slot.round != number:
            of_round = sum(s.round == slot.round for s in waiting)
            ends = (time.monotonic() - began + of_round * progress.seconds_each) / 60
            if number is not None and ends > plan.minutes:
                progress.say(f"  round {slot.round} would end after {ends:.1f} minutes, the plan has {plan.minutes:g}")
                return
            number = slot.round
        if time.monotonic() - began + plan.trial_seconds > HARD_LIMIT_MINUTES * 60:
            progress.say(f"  the limit of {HARD_LIMIT_MINUTES} minutes is reached")
            return
        row = take_one(plan, hosts, slot, result)
        left = sum(s.id not in {t["id"] for t in result["trials"]} for s in waiting)
        if not row["valid"] and (time.monotonic() - began + left * progress.seconds_each) < plan.minutes * 60:
            progress.say(f"  {slot.id} was INVALID ({row['reasons'][0]}); once more")
            result["discarded"].append(row)
            row = take_one(plan, hosts, slot, result)
        result["trials"].append(row)
        results.write(folder, result)
        results.point_latest(folder)
        progress.trial(row, plan.rounds)
        time.sleep(plan.settle)


def take_one(plan: Plan, hosts: Hosts, slot: Slot, result: dict[str, Any]) -> dict[str, Any]:
    """Run one trial and judge it."""
    calibration = calibrate()
    row = run_trial(hosts, plan, slot, base_url(plan, hosts, slot.topology))
    row["calibration_seconds"] = calibration
    best = min(t["calibration_seconds"] for t in [*result["trials"], *result["discarded"], row])
    row["clock_drift"] = calibration / best - 1
    row["reasons"] = reasons_against(row, plan.gate)
    row["valid"] = not row["reasons"]
    return row


def base_url(plan: Plan, hosts: Hosts, topology: str) -> str:
    return f"https://{topology}.{plan.domain}:{hosts.https_port()}"


@contextlib.contextmanager
def prepared(plan: Plan, hosts: Hosts, progress: Progress) -> Iterator[dict[str, Any]]:
    """All topologies served side by side, load and servers on CPUs of their own; undone at the end, come what may."""
    with contextlib.ExitStack() as undo:
        undo.callback(quietly, hosts.clean_load)
        if hosts.pause_web_ui():
            undo.callback(quietly, hosts.resume_web_ui)
        progress.say("  serving all topologies side by side …")
        undo.callback(quietly, hosts.side_by_side, False)
        hosts.side_by_side(True)
        hosts.put_on_load(SESSIONS_FILE, hosts.make_sessions(most_users(plan)))
        for topology in plan.topologies:
            status = hosts.status_of(base_url(plan, hosts, topology) + "/readyz")
            if status != "200":
                raise LabError(f"{base_url(plan, hosts, topology)}/readyz answers {status}, expected 200. `make status`.")
        own_cpus = os.sched_getaffinity(0)
        undo.callback(os.sched_setaffinity, 0, own_cpus)
        undo.callback(hosts.unpin)
        pinning = hosts.pin()
        if pinning["pinned"]:
            os.sched_setaffinity(0, pinning["generator"])
            progress.say(f"  servers on CPU {pinning['servers']}, load on CPU {pinning['generator']}")
        else:
            progress.say(f"  no CPUs set apart: {pinning['reason']}")
        yield pinning


def most_users(plan: Plan) -> int:
    return max(scenario.users for scenario in plan.scenarios.values())


def quietly(action: Any, *arguments: Any) -> None:
    """Undo one thing; a failure is told, and does not stop the undoing of the others."""
    try:
        action(*arguments)
    except LabError as error:
        print(f"  while putting things back: {error}")
