"""A whole run without hosts: order, writing after each trial, ctrl-C, resuming, the table and the report."""

import json
import random
import re
import subprocess
import sys

import pytest

from loadtests.lab import results, run
from loadtests.lab.plan import parse_plan
from loadtests.lab.report import render, write_report
from loadtests.lab.table import render as render_table
from loadtests.lab.trial import run_trial

COSTS = {"wsgi": 400, "asgi": 1200, "mixed": 420}
PROVENANCE = {
    "release": "r1", "git_commit": "abc", "git_changed": False, "machine": {"cpus": 2, "cpu": "X", "kernel": "6"},
    "hosts": {"edge": []}, "provider": "docker", "sizes": {}, "pinning": {"pinned": False, "reason": "test"},
    "load_code_sha256": "0" * 64, "load_code_is_this_checkout": True, "versions": {"edge": "nginx 1"},
    "config_sha256": {"edge": "1" * 64},
}  # fmt: skip


class NoHosts:
    """Stands in for hosts.Hosts; notes what was done to them."""

    def __init__(self):
        self.did = []

    def __getattr__(self, name):
        def note(*arguments):
            self.did.append((name, *arguments))
            return {"pin": {"pinned": False, "reason": "test"}, "status_of": "200", "https_port": 8443}.get(name)

        return note


@pytest.fixture
def quick(plan_data, row, monkeypatch):
    """A plan without waiting, and trials out of thin air."""
    data, topologies = plan_data
    data["trial"]["settle"] = 0
    rng = random.Random(1)
    monkeypatch.setattr(run.provenance, "gather", lambda *_: dict(PROVENANCE))
    monkeypatch.setattr(run, "calibrate", lambda: 0.01)
    taken = []

    def trial(hosts, plan, slot, url):
        if len(taken) == getattr(hosts, "stop_after", None):
            raise KeyboardInterrupt
        taken.append((slot, url))
        cost = COSTS[slot.topology] * (1 + rng.gauss(0, 0.01))
        return row(
            id=slot.id, round=slot.round, scenario=slot.scenario, topology=slot.topology, twin=slot.twin,
            unit=plan.scenarios[slot.scenario].unit, cpu_us_total=cost, cpu_us={"nginx": 50.0, "uwsgi": cost - 50},
        )  # fmt: skip

    monkeypatch.setattr(run, "run_trial", trial)
    return parse_plan(data, topologies, "bench.yml"), taken


def test_a_run_takes_every_trial_and_writes_a_result_that_can_be_read(quick, tmp_path):
    plan, taken = quick
    hosts = NoHosts()
    result = run.bench(plan, hosts, 5, tmp_path)
    assert result["state"] == "complete"
    assert len(taken) == 28
    assert taken[0][1].startswith(f"https://{taken[0][0].topology}.laurel.test:")
    assert results.read(tmp_path)["summary"] == json.loads(json.dumps(result["summary"]))
    assert result["summary"]["pages"]["ratios"]["asgi"]["verdict"] == "more"
    assert list(result["summary"]["chat"]["topologies"]) == ["wsgi", "asgi", "mixed"]
    assert ("side_by_side", False) in hosts.did and ("unpin",) in hosts.did


def test_ctrl_c_keeps_what_is_done_undoes_the_pinning_and_can_be_resumed(quick, tmp_path):
    plan, taken = quick
    hosts = NoHosts()
    hosts.stop_after = 9
    result = run.bench(plan, hosts, 5, tmp_path)
    assert result["state"] == "interrupted"
    assert len(results.read(tmp_path)["trials"]) == 9
    assert ("side_by_side", False) in hosts.did and ("unpin",) in hosts.did
    again = run.bench(plan, NoHosts(), 5, tmp_path, results.read(tmp_path))
    assert again["state"] == "complete"
    assert [t["id"] for t in again["trials"]] == [slot.id for slot, _ in taken]
    assert len({t["id"] for t in again["trials"]}) == 28


def test_an_invalid_trial_is_taken_again_and_kept_for_the_record(quick, tmp_path, monkeypatch):
    plan, taken = quick
    honest = run.run_trial

    def late_at_first(*arguments):
        made = honest(*arguments)
        return made | {"counters": {"late": 400}} if len(taken) == 3 else made

    monkeypatch.setattr(run, "run_trial", late_at_first)
    result = run.bench(plan, NoHosts(), 5, tmp_path)
    assert len(taken) == 29 and len(result["trials"]) == 28
    assert all(t["valid"] for t in result["trials"])
    assert [t["id"] for t in result["discarded"]] == [taken[2][0].id]
    assert "late for" in render(result)


def test_a_run_that_measures_nothing_leaves_nothing(quick, tmp_path):
    plan, _ = quick
    hosts = NoHosts()
    hosts.stop_after = 0
    folder = results.new_folder(tmp_path)
    assert run.bench(plan, hosts, 5, folder)["state"] == "interrupted"
    assert list(tmp_path.iterdir()) == []


def test_two_benches_at_once_are_refused(tmp_path):
    with results.alone(tmp_path), pytest.raises(results.LabError, match=r"A bench runs already .process"), results.alone(tmp_path):
        pass
    with results.alone(tmp_path):
        pass


def test_a_wrong_method_version_is_refused(quick, tmp_path):
    plan, _ = quick
    result = run.bench(plan, NoHosts(), 5, tmp_path)
    results.write(tmp_path, result | {"method": 99})
    with pytest.raises(results.LabError, match="99"):
        results.read(tmp_path)


def test_latest_points_to_the_newest_by_a_relative_link(tmp_path):
    folder = results.new_folder(tmp_path)
    results.point_latest(folder)
    assert (tmp_path / "latest").readlink() == type(folder)(folder.name)


def test_the_table_and_the_report_say_what_was_measured(quick, tmp_path):
    plan, _ = quick
    result = run.bench(plan, NoHosts(), 5, tmp_path)
    result["trials"][3] |= {"valid": False, "reasons": ["the generator was <late>"]}
    text = render_table(result)
    assert re.search(r"asgi .*×2\.\d\d more", text)
    assert "noise floor" in text
    page = write_report(tmp_path, result).read_text()
    assert page.count("<svg") == 4
    assert "the generator was &lt;late&gt;" in page
    assert "prefers-color-scheme: dark" in page
    assert not re.search(r'(src|href)="(?!#)', page)  # opens offline: nothing is fetched
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert plan.question in page


def test_a_run_without_a_valid_trial_still_gives_a_table_and_a_report(quick, tmp_path):
    plan, _ = quick
    result = run.bench(plan, NoHosts(), 5, tmp_path)
    for trial in result["trials"]:
        trial |= {"valid": False, "reasons": ["x"]}
    result["summary"] = run.summarise(result["trials"], plan.baseline)
    assert "no valid trial" in render_table(result)
    assert "no valid trial" in render(result)


class LocalHosts(NoHosts):
    """Runs the load here; the samplers count for a server that costs 1 ms of CPU per request."""

    def __init__(self, port, folder):
        super().__init__()
        self.port, self.folder, self.marks = port, folder, 0

    def start_samplers(self):
        return self

    server = "uwsgi.service"

    def mark(self):
        self.marks += 1
        return {"app1": {"at": 100.0 + self.marks, "usage_usec": {self.server: self.marks * 120_000}}}

    def close(self):
        pass

    def start_load(self, arguments):
        swapped = {
            "/tmp/laurel-lab-result.json": str(self.folder / "r.json"),
            "https://here": f"http://127.0.0.1:{self.port}",
        }
        return subprocess.Popen(
            [sys.executable, "-m", "locust", *(swapped.get(a, a) for a in arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def read_load_file(self, path):
        return (self.folder / "r.json").read_text()


@pytest.mark.parametrize(("lie", "measured"), [("none", True), ("everything", False)])
def test_a_trial_drives_the_real_load_process(plan_data, start_server, tmp_path, monkeypatch, lie, measured):
    from pathlib import Path

    from loadtests.lab.trial import Slot

    monkeypatch.chdir(Path(__file__).resolve().parents[3])
    data, topologies = plan_data
    data["trial"] |= {"warm_up": 0.2, "measure": 1.0}
    if not measured:
        data["scenarios"]["pages"]["mix"] = "nothing=1"
    plan = parse_plan(data, topologies, "bench.yml")
    row = run_trial(LocalHosts(start_server(), tmp_path), plan, Slot(1, "pages", "mixed", False, 3), "https://here")
    assert row["measured"] is measured
    if measured:
        assert row["cpu_us_total"] == pytest.approx(120_000 / row["units"])
        assert row["latency_ms"]["p50"] < 100
        assert row["errors"] == 0
        assert row["doubts"] == []
    else:
        assert "'nothing'" in row["failure"]


def test_work_done_by_a_server_of_another_topology_is_a_doubt(plan_data):
    from loadtests.lab.trial import Slot, make_row
    from loadtests.users.recorder import Recorder

    plan = parse_plan(*plan_data, "bench.yml")
    recorder = Recorder()
    recorder.open()
    recorder.answered("GET", "json", recorder.opened_at, recorder.opened_at, recorder.opened_at + 0.01)
    recorder.close()
    before = {"app1": {"at": 1, "usage_usec": {"uwsgi.service": 0, "daphne@1.service": 0}}}
    after = {"app1": {"at": 2, "usage_usec": {"uwsgi.service": 900, "daphne@1.service": 50}}}
    asgi = make_row(plan, Slot(1, "pages", "asgi", False, 1), recorder.as_dict(), before, after)
    assert asgi["doubts"] == ["uwsgi did the work, which is no server of asgi"]
    wsgi = make_row(plan, Slot(1, "pages", "wsgi", False, 1), recorder.as_dict(), before, after)
    assert wsgi["doubts"] == []
    assert wsgi["cpu_us"] == {"uwsgi": pytest.approx(900)}
    assert wsgi["cpu_us_outside"] == {"daphne": pytest.approx(50)}
