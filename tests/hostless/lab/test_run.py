"""A whole run without hosts: order, writing after each trial, ctrl-C, resuming, the table and the report."""

import json
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.lab import results, run
from loadtests.lab.plan import parse_plan
from loadtests.lab.report import render, write_report
from loadtests.lab.table import render as render_table
from loadtests.lab.trial import Services, Setting, Slot, log_doubts, make_row, run_trial
from loadtests.lab.usage import service_of
from loadtests.users.recorder import Recorder

COSTS = {"wsgi": 400, "asgi": 1200, "mixed": 420}
PROVENANCE = {
    "release": "r1", "git_commit": "abc", "git_changed": False, "machine": {"cpus": 2, "cpu": "X", "kernel": "6"},
    "hosts": {"edge": []}, "provider": "docker", "sizes": {}, "pinning": {"pinned": False, "reason": "test"},
    "load_code_sha256": "0" * 64, "load_code_is_this_checkout": True, "versions": {"edge": "nginx 1"},
    "config_sha256": {"edge": "1" * 64},
}  # fmt: skip


def calibrated(cpus, best):
    best |= dict.fromkeys(cpus, 0.01)
    return dict.fromkeys(cpus, 0.01)


class NoHosts:
    """Stands in for hosts.Hosts; notes what was done to them."""

    shared_machine = False

    def __init__(self):
        self.did = []

    def __getattr__(self, name):
        def note(*arguments):
            self.did.append((name, *arguments))
            known = {
                "pin": {"pinned": False, "reason": "test"},
                "status_of": "200",
                "https_port": 8443,
                "serving_cpus": 2,
                "body_of": '<link href="/static/a.css">',
            }
            return known.get(name)

        return note


@pytest.fixture
def quick(plan_data, world, row, monkeypatch):
    """A plan without waiting, and trials out of thin air."""
    rng = random.Random(1)
    monkeypatch.setattr(run.provenance, "gather", lambda *_: dict(PROVENANCE))
    monkeypatch.setattr(run.calibration, "calibrate", calibrated)
    taken = []

    def trial(hosts, plan, slot, url, setting, changes=None):
        if len(taken) == getattr(hosts, "stop_after", None):
            raise KeyboardInterrupt
        taken.append((slot, url))
        cost = COSTS[slot.candidate] * (1 + rng.gauss(0, 0.01))
        rate = (changes or {}).get("request_rate", 120)
        late = 20.0 if rate < 1000 else 300.0
        return row(
            id=slot.id, round=slot.round, scenario=slot.scenario, candidate=slot.candidate, twin=slot.twin,
            unit=plan.scenarios[slot.scenario].unit, cpu_us_total=cost, cpu_us={"nginx": 50.0, "uwsgi": cost - 50},
            units=int(rate * 6), offered=rate * 6.0, sent=int(rate * 6), answers=int(rate * 6),
            mean_ms=5 + 5000 / max(1, 1200 - rate), latency_ms={"p50": 5.0, "p95": 9.0, "p99": late, "max": late},
        )  # fmt: skip

    monkeypatch.setattr(run, "run_trial", trial)
    return parse_plan(plan_data, world, "bench.yml"), taken


def test_a_run_takes_every_trial_and_writes_a_result_that_can_be_read(quick, tmp_path):
    plan, taken = quick
    hosts = NoHosts()
    result = run.bench(plan, hosts, 5, tmp_path)
    assert result["state"] == "complete"
    assert len(taken) == 32
    assert taken[0][1].startswith(f"https://{taken[0][0].candidate}.laurel.test:")
    assert results.read(tmp_path)["summary"] == json.loads(json.dumps(result["summary"]))
    assert result["summary"]["pages"]["figures"]["cpu_us"]["ratios"]["asgi"]["verdict"] == "more"
    assert list(result["summary"]["chat"]["candidates"]) == ["wsgi", "asgi", "mixed"]
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
    assert len({t["id"] for t in again["trials"]}) == 32


def test_an_invalid_trial_is_taken_again_and_kept_for_the_record(quick, tmp_path, monkeypatch):
    plan, taken = quick
    honest = run.run_trial

    def late_at_first(*arguments):
        made = honest(*arguments)
        return made | {"counters": {"late": 400}} if len(taken) == 3 else made

    monkeypatch.setattr(run, "run_trial", late_at_first)
    result = run.bench(plan, NoHosts(), 5, tmp_path)
    assert len(taken) == 33 and len(result["trials"]) == 32
    assert all(t["valid"] for t in result["trials"])
    assert [t["id"] for t in result["discarded"]] == [taken[2][0].id]
    assert "late for" in render(result)


def test_a_host_that_fails_once_spoils_a_trial_and_not_the_run(quick, tmp_path, monkeypatch):
    plan, _ = quick
    honest, calls = run.run_trial, []

    def fails(*arguments):
        calls.append(arguments)
        if len(calls) in (4, 5):
            raise results.LabError("app1 did not answer within 60 s")
        return honest(*arguments)

    monkeypatch.setattr(run, "run_trial", fails)
    result = run.bench(plan, NoHosts(), 5, tmp_path)
    assert result["state"] == "complete" and len(result["trials"]) == 32
    assert [t["reasons"] for t in result["trials"] if not t["valid"]] == [["app1 did not answer within 60 s"]]


def test_a_host_that_is_gone_ends_the_run_which_can_be_resumed(quick, tmp_path, monkeypatch):
    plan, taken = quick
    honest = run.run_trial

    def fails(*arguments):
        if len(taken) == 5:
            raise results.LabError("app1 is gone")
        return honest(*arguments)

    monkeypatch.setattr(run, "run_trial", fails)
    with pytest.raises(results.LabError, match="app1 is gone"):
        run.bench(plan, NoHosts(), 5, tmp_path)
    saved = results.read(tmp_path)
    assert saved["state"] == "failed" and sum(t["valid"] for t in saved["trials"]) == 5
    monkeypatch.setattr(run, "run_trial", honest)
    assert run.bench(plan, NoHosts(), 5, tmp_path, saved)["state"] == "complete"


def test_a_run_that_measures_nothing_leaves_nothing(quick, tmp_path):
    plan, _ = quick
    hosts = NoHosts()
    hosts.stop_after = 0
    folder = results.new_folder(tmp_path)
    assert run.bench(plan, hosts, 5, folder)["state"] == "interrupted"
    assert list(tmp_path.iterdir()) == []


def test_servers_restart_before_each_trial_where_the_scenario_wants_them_fresh(quick, plan_data, world, tmp_path):
    plan_data["scenarios"] = {"chat": plan_data["scenarios"]["chat"] | {"fresh": True, "rounds": 1}}
    hosts = NoHosts()
    run.bench(parse_plan(plan_data, world, "x"), hosts, 5, tmp_path)
    restarts = sorted(did[1] for did in hosts.did if did[0] == "restart")
    assert restarts == [["daphne"], ["daphne", "uwsgi"], ["daphne", "uwsgi"], ["uwsgi"]]


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
    assert re.search(r"asgi 2\.\d\d times that \(", page)  # the verdict has the figure of the table


def test_a_run_without_a_valid_trial_still_gives_a_table_and_a_report(quick, tmp_path):
    plan, _ = quick
    result = run.bench(plan, NoHosts(), 5, tmp_path)
    for trial in result["trials"]:
        trial |= {"valid": False, "reasons": ["x"]}
    result["summary"] = run.summarise(result["trials"], plan.scenarios)
    assert "INVALID: x" in render_table(result)
    assert "INVALID: x" in render(result)


def test_what_has_no_rig_is_invalid_and_the_rest_is_measured(quick, plan_data, world, tmp_path):
    _, taken = quick
    given = {"mixed": {"topology": "mixed"}, "gone": {"rig": "no-such-target"}, "there": {"rig": "floor-wsgi"}}
    plan_data["scenarios"]["pages"]["compare"] = {"baseline": "mixed", "candidates": given}
    plan = parse_plan(plan_data, world, "bench.yml")
    hosts = NoHosts()
    hosts.rig = lambda on: (_ for _ in ()).throw(results.LabError("`make rig` failed"))
    hosts.status_of = lambda url: "connection refused" if "floor-wsgi" in url else "200"
    result = run.bench(plan, hosts, 5, tmp_path)
    reasons = {t["candidate"]: t["reasons"] for t in result["trials"] if t["scenario"] == "pages" and not t["valid"]}
    assert reasons == {
        "gone": ["ansible/group_vars/all/rig.yml has no target 'no-such-target'"],
        "there": ["https://floor-wsgi.laurel.test:8443/bare answers connection refused, expected 200"],
    }
    assert {slot.candidate for slot, _ in taken if slot.scenario == "pages"} == {"mixed"}
    assert "no target &#39;no-such-target&#39;" in render(result)
    assert "INVALID: ansible/group_vars" in render_table(result)


def test_what_does_not_fit_the_time_is_named(quick, plan_data, world, tmp_path, monkeypatch):
    _, taken = quick
    plan = parse_plan(plan_data | {"minutes": 5}, world, "bench.yml")
    monkeypatch.setattr(run.Run, "minutes", property(lambda self: len(taken) * 0.2))
    result = run.bench(plan, NoHosts(), 5, tmp_path)
    assert result["state"] == "shortened"
    assert [(s["scenario"], len(s["trials"])) for s in result["skipped"]] == [("chat", 32 - len(taken))]
    assert "trials of chat" in render(result) and "left out" in render_table(result)


def test_capacity_is_searched_after_the_rounds_and_goes_on_after_an_interruption(quick, plan_data, world, tmp_path):
    plan_data["scenarios"]["pages"]["capacity"] = {"vary": "request_rate", "from": 100, "to": 4000, "candidates": ["mixed"]}
    plan = parse_plan(plan_data, world, "bench.yml")
    hosts = NoHosts()
    hosts.stop_after = 16 + 3
    run.bench(plan, hosts, 5, tmp_path)
    saved = results.read(tmp_path)
    assert [p["rate"] for p in saved["capacity"]["pages"]["mixed"]["points"]] == [100, 200, 400]
    result = run.bench(plan, NoHosts(), 5, tmp_path, saved)
    found = result["capacity"]["pages"]["mixed"]
    assert 850 < found["rate"] < 1000
    assert found["limit"] == "p99 was 300 ms, limit 100 ms"
    assert [p["rate"] for p in found["points"][:5]] == [100, 200, 400, 800, 1600]
    assert found["usl"]["r2"] > 0.5
    assert "latency against throughput" in render(result)


def test_a_rate_does_not_break_because_the_machine_was_slow(quick, plan_data, world, tmp_path, monkeypatch):
    plan_data["scenarios"]["pages"]["capacity"] = {"vary": "request_rate", "from": 100, "to": 200, "candidates": ["mixed"]}
    plan, taken = parse_plan(plan_data, world, "bench.yml"), quick[1]
    # The first two trials of the search are slow at their end.
    monkeypatch.setattr(run.calibration, "drift", lambda *_: 0.3 if len(taken) in (17, 18) else 0.0)
    result = run.bench(plan, NoHosts(), 5, tmp_path)
    assert [(p["rate"], p["held"]) for p in result["capacity"]["pages"]["mixed"]["points"]] == [(100, True), (200, True)]
    assert len(result["discarded"]) == 2


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

    def read_logs(self, since, until):
        return {"edge": {"bad_gateways": {}, "memory": []}}

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


SETTING = Setting(None, True, 2)


@pytest.mark.parametrize(("lie", "measured"), [("none", True), ("everything", False)])
def test_a_trial_drives_the_real_load_process(plan_data, world, start_server, tmp_path, monkeypatch, lie, measured):
    monkeypatch.chdir(Path(__file__).resolve().parents[3])
    pages = plan_data["scenarios"]["pages"]
    pages["trial"] |= {"warm_up": 0.2, "measure": 1.0}
    pages["options"]["mix"] = "json=1" if measured else "nothing=1"
    plan = parse_plan(plan_data, world, "bench.yml")
    hosts = LocalHosts(start_server(), tmp_path)
    row = run_trial(hosts, plan, Slot(1, "pages", "mixed", False, 3), "https://here", SETTING)
    assert row["measured"] is measured
    if measured:
        assert row["cpu_us_total"] == pytest.approx(120_000 / row["units"])
        assert row["latency_ms"]["p50"] < 100
        assert row["errors"] == 0
        assert row["doubts"] == []
    else:
        assert "'nothing'" in row["failure"]


def test_work_done_by_a_server_of_another_topology_is_a_doubt(plan_data, world):
    plan = parse_plan(plan_data, world, "bench.yml")
    recorder = Recorder()
    recorder.open()
    recorder.answered("GET", "json", recorder.opened_at, recorder.opened_at, recorder.opened_at + 0.01)
    recorder.close()
    before = {"app1": {"at": 1, "usage_usec": {"uwsgi.service": 0, "daphne@1.service": 0}}}
    after = {"app1": {"at": 2, "usage_usec": {"uwsgi.service": 900, "daphne@1.service": 50}}}
    steps = {"began": before, "opened": before, "closed": after}
    asgi = make_row(plan, Slot(1, "pages", "asgi", False, 1), recorder.as_dict(), steps, SETTING)
    assert asgi["doubts"] == ["uwsgi did the work, which is no server of asgi"]
    wsgi = make_row(plan, Slot(1, "pages", "wsgi", False, 1), recorder.as_dict(), steps, SETTING)
    assert wsgi["doubts"] == []
    assert wsgi["cpu_us"] == {"uwsgi": pytest.approx(900)}
    assert wsgi["cpu_us_outside"] == {"daphne": pytest.approx(50)}


def test_a_target_of_the_rig_shows_under_the_name_of_its_server(plan_data, world):
    given = {"mixed": {"topology": "mixed"}, "bare": {"rig": "floor-wsgi"}}
    plan_data["scenarios"]["pages"]["compare"] = {"baseline": "mixed", "candidates": given}
    plan = parse_plan(plan_data, world, "bench.yml")
    used = {"rig-floor-wsgi.service": 3.0, "rig-other.service": 5.0, "uwsgi.service": 7.0, "nginx.service": 1.0}
    bare = Services(plan, plan.scenarios["pages"], "bare", {service_of(u) for u in used})
    counted, outside = bare.split({service_of(u): v for u, v in used.items()})
    assert counted == {"uwsgi": 3.0, "nginx": 1.0}
    assert outside == {"rig-other": 5.0, "uwsgi": 7.0}


def test_logs_count_against_the_address_that_was_measured():
    found = {"edge": {"bad_gateways": {"mixed.laurel.test": 3, "asgi.laurel.test": 1}, "memory": ["app.service: killed by the OOM killer"]}}
    assert log_doubts(found, "https://mixed.laurel.test:8443") == [
        "nginx on edge logged 3 answers with 502, 503 or 504",
        "edge: app.service: killed by the OOM killer",
    ]
    assert len(log_doubts(found, "https://wsgi.laurel.test:8443")) == 1


LONG_RUN = """
import time
from loadtests.lab import __main__ as lab

def long(options):
    try:
        print("up", flush=True)
        time.sleep(30)
    finally:
        print("put back", flush=True)

lab.do_plan = long
raise SystemExit(lab.main(["plan"]))
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_a_run_put_things_back_even_in_the_background(signum):
    def in_the_background():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does with `&`

    root = Path(__file__).resolve().parents[3]
    process = subprocess.Popen([sys.executable, "-c", LONG_RUN], cwd=root, stdout=subprocess.PIPE, text=True, preexec_fn=in_the_background)
    try:
        assert process.stdout.readline() == "up\n"
        process.send_signal(signum)
        output, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, output) == (130, "put back\n")
