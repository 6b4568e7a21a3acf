"""Run a plan: prepare the hosts, take the trials in turn, write after each, and leave all as it was."""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import METHOD_VERSION, calibration, capacity, provenance, results, speed
from .declaration import Scenario
from .errors import LabError
from .hosts import Hosts
from .plan import Plan, trial_seconds
from .progress import Progress, duration
from .statistics import summarise
from .trial import (
    MQTT_PASSWORD_FILE,
    SESSIONS_FILE,
    Setting,
    Slot,
    address,
    failed_row,
    own_services,
    ready_url,
    run_trial,
    timetable,
)
from .validity import is_generators_fault, is_machines_fault, reasons_against

MOST_SESSIONS = 100
"""Accounts that the chat users share, however many users there are."""
RESTART_SECONDS = 30
MOST_SPOILED = 3
"""Trials in a row that a host may spoil."""
MOST_UNCALM = 4
"""Trials in one place of which the machine's speed may spoil all."""
POINTS_GUESS = 8
"""Steps of a capacity search, for the remaining time."""


def bench(plan: Plan, hosts: Hosts, seed: int, folder: Path, resumed: dict[str, Any] | None = None) -> dict[str, Any]:
    """Take all trials of the plan that `resumed` does not have; return the result (also on disk).

    ctrl-C ends the run early: what was measured is kept, `state` says `interrupted`.
    """
    began = time.monotonic()
    result = resumed or new_result(plan, seed)
    result["skipped"] = []  # what was left out before is tried again
    progress = Progress(seconds_left(plan, seed, result))
    progress.say(f"{plan.question}\n{words_of(plan)}, about {duration(progress.left)}. Results: {folder}")
    try:
        with prepared(plan, hosts, progress) as setting:
            result["provenance"] = provenance.gather(hosts, plan, setting.pinning)
            if not result["provenance"]["load_code_is_this_checkout"]:
                progress.say("  note: the load host has other load code than this checkout; `make deploy` brings it")
            results.write(folder, result)
            Run(plan, hosts, setting.of_trial, result, folder, progress, began).take(timetable(plan, seed))
        result["state"] = "shortened" if result["skipped"] else "complete"
    except KeyboardInterrupt:
        result["state"] = "interrupted"
        progress.say("\nInterrupted. What was measured is kept.")
    except LabError:
        result["state"] = "failed"
        raise
    finally:
        result["seconds"] = result.get("seconds", 0) + time.monotonic() - began
        result["summary"] = summarise(result["trials"], plan.scenarios)
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
        "topologies": {t.name: {"http": t.http, "websocket": t.websocket} for t in plan.world.topologies.values()},
        "trials": [],
        "discarded": [],
        "skipped": [],
        "capacity": {},
    }


def words_of(plan: Plan) -> str:
    trials = sum((len(s.candidates) + 1) * s.rounds for s in plan.scenarios.values())
    return f"{trials} trials of {', '.join(plan.scenarios)}"


def seconds_left(plan: Plan, seed: int, result: dict[str, Any]) -> float:
    """How long what is not measured yet should take."""
    done = {t["id"] for t in result["trials"]}
    trials = sum(
        trial_seconds(plan.scenarios[s.scenario])
        for s in timetable(plan, seed)
        if s.id not in done and not plan.scenarios[s.scenario].candidates[s.candidate].missing
    )
    searches = sum(
        max(0, POINTS_GUESS - len(result["capacity"].get(s.name, {}).get(c, {}).get("points", []))) * trial_seconds(s)
        for s in plan.scenarios.values()
        if s.capacity
        for c in s.capacity.candidates
    )
    return trials + searches


class OutOfTime(Exception):
    """The plan's minutes are over."""


class Run:
    """The trials of one run, written after each."""

    def __init__(self, plan: Plan, hosts: Hosts, setting: Setting, result: dict, folder: Path, progress: Progress, began: float) -> None:
        self.plan, self.hosts, self.setting = plan, hosts, setting
        self.result, self.folder, self.progress, self.began = result, folder, progress, began
        self.best: dict[int, float] = {}
        self.recent: dict[int, float] = {}
        self.fastest_us = min((t["speed"]["fastest_us"] for t in result["trials"] if t.get("speed")), default=float("inf"))
        self.spoiled = 0
        self.unready: dict[tuple[str, str], str] = {}

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self.began) / 60

    def take(self, slots: list[Slot]) -> None:
        """All that is not there yet. What does not fit the plan's minutes is named in `skipped`."""
        self.progress.start()
        with contextlib.ExitStack() as undo:
            rig_on = False
            for name in dict.fromkeys(slot.scenario for slot in slots):
                scenario = self.plan.scenarios[name]
                if scenario.needs_rig and not rig_on:
                    rig_on = self.turn_rig_on(undo)
                self.check_ready(scenario)
                self.take_scenario(scenario, [s for s in slots if s.scenario == name])

    def turn_rig_on(self, undo: contextlib.ExitStack) -> bool:
        """Serve the rig until the end of the run. Where that fails, its candidates are INVALID with the reason."""
        if not any(not c.missing for s in self.plan.scenarios.values() for c in s.candidates.values() if c.rig):
            return True
        self.progress.say("  serving the rig …")
        undo.callback(quietly, self.hosts.rig, False)
        try:
            self.hosts.rig(True)
        except LabError as error:
            self.progress.say(f"  {error}")
        return True

    def check_ready(self, scenario: Scenario) -> None:
        """Ask each candidate once; those that don't answer rightly are INVALID without being measured."""
        port = self.hosts.https_port()
        if scenario.locustfile == "static":
            self.setting = replace(self.setting, extra=self.setting.extra | {"paths": " ".join(self.static_paths(scenario))})
        for name, candidate in scenario.candidates.items():
            if candidate.missing:
                self.unready[scenario.name, name] = candidate.missing
                continue
            url = ready_url(self.plan, scenario, name, port)
            if scenario.locustfile == "static" and self.setting.extra["paths"]:
                url = address(self.plan, scenario, name, port) + self.setting.extra["paths"].split()[0]
            status = self.hosts.status_of(url)
            if status != "200":
                self.unready[scenario.name, name] = f"{url} answers {status}, expected 200"

    def static_paths(self, scenario: Scenario) -> list[str]:
        """The static files that the front page of the baseline names: a target of the rig has no page to find them by."""
        page = self.hosts.body_of(address(self.plan, scenario, scenario.baseline, self.hosts.https_port()) + "/")
        return sorted(set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page)))

    def take_scenario(self, scenario: Scenario, slots: list[Slot]) -> None:
        done = {trial["id"] for trial in self.result["trials"]}
        try:
            for slot in slots:
                if slot.id not in done:
                    self.take_slot(scenario, slot)
            if scenario.capacity:
                for name in scenario.capacity.candidates:
                    if (scenario.name, name) not in self.unready:
                        self.search(scenario, name)
        except OutOfTime:
            done = {trial["id"] for trial in self.result["trials"]}
            missing = [slot.id for slot in slots if slot.id not in done]
            what = f"{len(missing)} trials of {scenario.name}" if missing else f"a capacity search of {scenario.name}"
            self.result["skipped"].append(
                {"scenario": scenario.name, "trials": missing, "why": f"the plan has {self.plan.minutes:g} minutes"}
            )
            self.progress.say(f"  left out for lack of time: {what}")

    def within_time(self, scenario: Scenario) -> None:
        if self.minutes + trial_seconds(scenario) / 60 > self.plan.minutes:
            raise OutOfTime

    def take_slot(self, scenario: Scenario, slot: Slot) -> None:
        why = self.unready.get((scenario.name, slot.candidate))
        if why:
            row = failed_row(self.plan, slot, why) | {"valid": False, "reasons": [why]}
        else:
            self.within_time(scenario)
            row = self.take_one(scenario, slot)
            left = MOST_UNCALM - 1 if is_machines_fault(row["reasons"]) else 1
            while not row["valid"] and left and self.has_spare_time():
                self.progress.say(f"  {slot.id} was INVALID ({row['reasons'][0]}); once more")
                self.result["discarded"].append(row)
                row, left = self.take_one(scenario, slot), left - 1
        self.result["trials"].append(row)
        self.write()
        self.progress.trial(row, scenario.rounds, 0 if why else trial_seconds(scenario))
        time.sleep(0 if why else scenario.settle)

    def has_spare_time(self) -> bool:
        return self.minutes + self.progress.left * self.progress.pace / 60 < self.plan.minutes

    def take_one(self, scenario: Scenario, slot: Slot, changes: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run one trial and judge it. The machine's speed is measured before and after."""
        cpus = sorted({*(self.setting.cpus or []), *os.sched_getaffinity(0)})
        if scenario.fresh:
            self.restart(scenario, slot.candidate)
        # With a probe the level is known, and only a change is a drift; without one, being slow is.
        watched = self.watched_cpus()
        before = calibration.calibrate(cpus, dict(self.recent) if watched else self.best)
        url = address(self.plan, scenario, slot.candidate, self.hosts.https_port())
        with speed.watching(watched) as watch:
            row = self.try_trial(slot, url, changes)
            if row["measured"]:
                row |= self.seen_speed(watch.between(row["opened_unix"], row["opened_unix"] + row["seconds"]))
        after = self.recent = calibration.calibrate(cpus, dict(before) if watched else self.best)
        row["calibration_seconds"] = {str(cpu): max(before[cpu], after[cpu]) for cpu in cpus}
        ends = [(before, after)] if watched else [(self.best, before), (self.best, after)]
        row["clock_drift"] = max(calibration.drift(*pair) for pair in ends)
        row["reasons"] = reasons_against(row, self.plan.gate, scenario.max_error_share)
        row["valid"] = not row["reasons"]
        return row

    def seen_speed(self, seen: dict[str, float] | None) -> dict[str, Any]:
        """What the probes saw in a window, and how much slower that was than at the best in this run."""
        if not seen:
            return {"speed": None}
        self.fastest_us = min(self.fastest_us, seen["fastest_us"])
        return {"speed": seen, "slowdown": seen["mean_us"] / self.fastest_us - 1}

    def watched_cpus(self) -> list[int]:
        """The CPUs on which the servers' speed can be seen from here: none where the hosts are machines of their own."""
        if not self.setting.shared_machine:
            return []
        return self.setting.cpus or sorted(os.sched_getaffinity(0))

    def restart(self, scenario: Scenario, candidate: str) -> None:
        """Restart the candidate's servers and wait until it answers again; if it does not, its trial says so."""
        self.hosts.restart(sorted(own_services(self.plan, scenario, candidate)))
        url = ready_url(self.plan, scenario, candidate, self.hosts.https_port())
        deadline = time.monotonic() + RESTART_SECONDS
        while self.hosts.status_of(url) != "200" and time.monotonic() < deadline:
            time.sleep(0.5)

    def try_trial(self, slot: Slot, url: str, changes: dict[str, Any] | None) -> dict[str, Any]:
        """A trial that a host spoils is INVALID; several in a row end the run, which can be resumed."""
        try:
            row = run_trial(self.hosts, self.plan, slot, url, self.setting, changes)
        except LabError as error:
            self.spoiled += 1
            if self.spoiled >= MOST_SPOILED:
                raise
            return failed_row(self.plan, slot, str(error))
        self.spoiled = 0
        return row

    def take_calmly(self, scenario: Scenario, slot: Slot, changes: dict[str, Any]) -> dict[str, Any]:
        """A trial that is taken again while only the machine's speed speaks against it: that says nothing about a rate."""
        for left in reversed(range(MOST_UNCALM)):
            row = self.take_one(scenario, slot, changes)
            if not left or not is_machines_fault(row["reasons"]):
                break
            self.result["discarded"].append(row)
            self.within_time(scenario)
        return row

    def search(self, scenario: Scenario, candidate: str) -> None:
        """Find the candidate's capacity, going on from the points that are there."""
        wanted, here = scenario.capacity, self.result["capacity"].setdefault(scenario.name, {})
        points = here.get(candidate, {}).get("points", [])
        if points and points[-1].get("spoiled"):
            points.pop()  # an earlier run gave up here; this one may find a calmer moment
        expected = POINTS_GUESS - len(points)
        while (rate := capacity.next_rate(points, wanted)) is not None:
            self.within_time(scenario)
            slot = Slot(len(points) + 1, scenario.name, candidate, False, self.result["seed"] + len(points))
            row = self.take_calmly(scenario, slot, {wanted.vary: rate})
            fault = is_generators_fault(row["reasons"])
            points.append(capacity.judge(row, rate, scenario.objective, row["reasons"], fault))
            points[-1]["spoiled"] = is_machines_fault(row["reasons"])
            here[candidate] = capacity.conclude(points, wanted)
            self.write()
            expected -= 1
            self.progress.point(scenario.name, candidate, points[-1], trial_seconds(scenario) if expected >= 0 else 0)
            time.sleep(scenario.settle)
        self.progress.advance(max(0, expected) * trial_seconds(scenario))

    def write(self) -> None:
        results.write(self.folder, self.result)
        results.point_latest(self.folder)


class Prepared:
    """Where the run takes place."""

    def __init__(self, pinning: dict[str, Any], hosts: Hosts, extra: dict[str, Any]) -> None:
        self.pinning = pinning
        count = len(pinning["servers"]) if pinning["pinned"] else hosts.serving_cpus()
        self.of_trial = Setting(pinning["servers"] if pinning["pinned"] else None, hosts.shared_machine, count, extra)


@contextlib.contextmanager
def prepared(plan: Plan, hosts: Hosts, progress: Progress) -> Iterator[Prepared]:
    """All topologies served side by side, load and servers on CPUs of their own; undone at the end, come what may."""
    with contextlib.ExitStack() as undo:
        undo.callback(quietly, hosts.clean_load)
        if hosts.pause_web_ui():
            undo.callback(quietly, hosts.resume_web_ui)
        progress.say("  serving all topologies side by side …")
        undo.callback(quietly, hosts.side_by_side, False)
        hosts.side_by_side(True)
        hosts.put_on_load(SESSIONS_FILE, hosts.make_sessions(most_users(plan)))
        extra = mqtt_arguments(hosts)
        own_cpus = os.sched_getaffinity(0)
        undo.callback(os.sched_setaffinity, 0, own_cpus)
        undo.callback(hosts.unpin)
        pinning = hosts.pin()
        if pinning["pinned"]:
            os.sched_setaffinity(0, pinning["generator"])
            progress.say(f"  servers on CPU {pinning['servers']}, load on CPU {pinning['generator']}")
        else:
            progress.say(f"  no CPUs set apart: {pinning['reason']}")
        yield Prepared(pinning, hosts, extra)


def mqtt_arguments(hosts: Hosts) -> dict[str, Any]:
    """Where the MQTT readers find their broker; nothing where the environment has none."""
    found = hosts.mqtt()
    if not found:
        return {}
    host, password = found
    hosts.put_on_load(MQTT_PASSWORD_FILE, password)
    return {"mqtt_host": host, "mqtt_password_file": MQTT_PASSWORD_FILE}


def most_users(plan: Plan) -> int:
    wanted = [s.users_of(c) for s in plan.scenarios.values() for c in s.candidates]
    wanted += [int(s.options_of(c).get(k, 0)) for s in plan.scenarios.values() for c in s.candidates for k in ("members", "subscribers")]
    return min(MOST_SESSIONS, max(wanted))


def quietly(action: Any, *arguments: Any) -> None:
    """Undo one thing; a failure is told, and does not stop the undoing of the others."""
    try:
        action(*arguments)
    except LabError as error:
        print(f"  while putting things back: {error}")
