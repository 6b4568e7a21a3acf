"""One run: everybody comes in, one operation after another is done, what was felt is judged and written down after each."""

import datetime
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loadtests.lab import provenance
from loadtests.lab.errors import LabError
from loadtests.lab.hosts import Hosts
from loadtests.lab.progress import duration
from loadtests.lab.world import ROOT

from .acts import Acts, StepFailed
from .felt import OUTCOMES, broken
from .operations import Operation
from .people import Amounts, Crowd
from .site import site_of

FORMAT = 1
RESULTS = ROOT / "results"
ROOM_SOCKETS = 6  # people in a room
STEADY_SECONDS = 3.0  # before each operation: nothing is failing already


def new_folder() -> Path:
    folder = RESULTS / datetime.datetime.now(datetime.UTC).strftime("impact-%Y-%m-%dT%H-%M-%SZ")
    folder.mkdir(parents=True)
    return folder


def write(folder: Path, result: dict[str, Any]) -> None:
    """Replace the result whole, so that a crash leaves the one before."""
    partial = folder / "impact.json.part"
    partial.write_text(json.dumps(result, indent=1) + "\n")
    partial.replace(folder / "impact.json")


def perform(operation: Operation, crowd: Crowd, acts: Acts) -> dict[str, Any]:
    """Do it, and say what was felt and which promise broke."""
    wrong, began = [], time.monotonic()
    crowd.begin()
    try:
        try:
            for step in operation.before:
                acts.do(step)
            began = time.monotonic()
            crowd.begin()
            for step in operation.do:
                acts.do(step)
        except (StepFailed, LabError) as failed:
            wrong.append(str(failed))
        took = time.monotonic() - began
        felt = crowd.end(operation.settle)
    finally:
        for step in operation.undo:
            try:
                acts.do(step)
            except (StepFailed, LabError) as failed:
                wrong.append(f"afterwards: {failed}")
    facts = felt.facts()
    if clients := acts.throng.taken():
        facts["clients"] = clients
    return {
        "operation": operation.name, "what": operation.what, "promised": operation.promised, "seconds": round(took, 1),
        "felt": facts, "broken": [*wrong, *broken(operation.promise, facts)],
    }  # fmt: skip


def run(
    hosts: Hosts, operations: list[Operation], amounts: Amounts, rounds: int, folder: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """All operations, `rounds` times. Returns the result, which lies in the folder after each operation."""
    shared = hosts.shared_machine
    there = {"": True, "docker": shared, "sentinels": len(hosts.in_group("redis")) > 1}
    left_out = [op.name for op in operations if not there[op.needs]]
    operations = [op for op in operations if op.name not in left_out]
    result: dict[str, Any] = {
        "format": FORMAT, "started_unix": time.time(), "amounts": vars(amounts), "rounds": rounds, "left_out": left_out,
        "topology": hosts.run(hosts.edge, "cat /etc/laurel/topology").strip(), "git_commit": provenance.git("rev-parse", "HEAD"),
        "versions": hosts.versions(), "cpus": hosts.serving_cpus(), "rows": [], "state": "running",
    }  # fmt: skip
    acts = Acts(hosts, folder / "operations.log", say)
    say(f"  {amounts.sockets} sockets, {amounts.streams} streams and {amounts.pollers} long pollers come in …")
    with Crowd(site_of(hosts, max(1, amounts.sockets // ROOM_SOCKETS)), amounts) as crowd:
        if not crowd.everybody_reads():
            there = sum(reader.subscribed for reader in crowd.readers)
            raise LabError(f"only {there} of {len(crowd.readers)} readers came in ({dict(crowd.felt.refused)}); see: make status")
        pace: list[float] = []
        for number in range(1, rounds + 1):
            for operation in operations:
                began = time.monotonic()
                time.sleep(STEADY_SECONDS)
                try:
                    row = perform(operation, crowd, acts) | {"round": number}
                except KeyboardInterrupt:
                    result["state"] = "interrupted"
                    write(folder, result)
                    return result
                result["rows"].append(row)
                write(folder, result)
                pace.append(time.monotonic() - began)
                left = (rounds * len(operations) - len(pace)) * sum(pace) / len(pace)
                say(f"{line(row)}   {duration(left)} left")
    result |= {"state": "complete", "seconds": round(time.time() - result["started_unix"])}
    write(folder, result)
    return result


def line(row: dict[str, Any]) -> str:
    """A row for a person who waits."""
    felt = row["felt"]
    back = felt["back_s"].get("100")
    closed = ", ".join(f"{count} x {code}" for code, count in felt["closed"].items()) or "no socket closed"
    came = f", clients {told(felt['clients'])}" if "clients" in felt else ""
    verdict = "kept" if not row["broken"] else "BROKEN: " + "; ".join(row["broken"])
    away = f", back in {back:.1f} s" if back is not None else ""
    return f"  {row['operation']:<20} {felt['failed']:>3} failed  {felt['lost']:>2} lost  {closed}{away}{came}  {verdict}"


def told(clients: dict[str, Any]) -> str:
    """What became of those who came for the operation alone."""
    outcome = next(name for name in OUTCOMES if name in clients)
    after = " / ".join(f"{seconds:.1f}" for seconds in clients[f"{outcome}_s"].values())
    return (
        f"{outcome}: {clients[outcome]} of {clients['count']}"
        + (f", half of them, 95 %, all after {after} s" if after else "")
        + (f", {clients['for_pings']} of them for pings that they did not answer" if clients.get("for_pings") else "")
    )
