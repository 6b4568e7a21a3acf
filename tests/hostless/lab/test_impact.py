"""What people felt, whether it keeps a promise, and the page that is made of it."""

import asyncio
import io
import json
import subprocess
import sys
import tarfile
import time
from types import SimpleNamespace

import pytest
import yaml

from loadtests.impact import acts, operations, page, run, site, throng
from loadtests.impact.felt import Felt, broken, percentile
from loadtests.impact.people import Amounts, Crowd, Reader
from loadtests.impact.site import Site
from loadtests.lab.errors import LabError
from loadtests.lab.world import ROOT

RELAY = {"failed": 0, "closed": [1012], "back_seconds": 5}


def felt(**values):
    """The facts of a window in which nothing was wrong, but for `values`."""
    made = Felt(pages=100, delivered=100)
    for name, value in values.items():
        setattr(made, name, value)
    return made.facts()


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"lost": 1}, "1 lost"),
        ({"duplicated": 2}, "2 duplicated"),
        ({"unrecovered": 1}, "1 unrecovered"),
        ({"failed": [("502", 1.0)]}, "1 failed requests (1 x 502), promised: at most 0"),
        ({"closed": {1012: 3, 1006: 1}}, "closed with 1 x 1006, promised: 1012"),
        ({"away": [1.0, 5.1]}, "back for 5.1 s, promised: at most 5 s"),
        ({"pages": 0}, "nobody was there to feel it"),
        ({"delivered": 0}, "nobody was there to feel it"),
    ],
)
def test_a_promise_is_broken_by_each_thing_that_it_rules_out(values, complaint):
    assert broken(RELAY, felt()) == []
    assert broken(RELAY, felt(**values)) == [complaint]


def test_failures_may_be_allowed_in_number_kind_and_time():
    promise = {"failed": 3, "statuses": [503], "failing_seconds": 1}
    assert broken(promise, felt(failed=[("503", 1.0), ("503", 2.0)])) == []
    assert broken(promise, felt(failed=[("503", 1.0), ("503", 2.5)])) == ["failing for 1.5 s, promised: at most 1 s"]
    assert broken(promise, felt(failed=[("502", 1.0)])) == ["requests failed with 502, promised: only 503"]
    assert broken({"closed": []}, felt(closed={1012: 1})) == ["closed with 1 x 1012, promised: no close"]
    assert broken({"late": 0}, felt(late=2)) == ["2 deliveries came late, promised: at most 0"]


CUT = {"did": "cut", "count": 20, "reached": 20, "back": 20, "back_s": {"50": 1.0, "95": 2.0, "100": 3.0}, "missing": 0}
UNREAD = {"did": "stop-reading", "count": 20, "reached": 20, "closed": 20, "closed_s": {"50": 12.0, "95": 14.0, "100": 15.0}}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"reached": 19}, "only 19 of 20 clients were there for it"),
        ({"reached": 0}, "no client was there for it"),
        ({"back": 18}, "18 of 20 clients were back, promised: all"),
        ({"back_s": {"100": 9.5}}, "a client was back after 9.5 s, promised: at most 5 s"),
        ({"missing": 2}, "2 messages missing at the clients"),
    ],
)
def test_clients_that_were_cut_have_a_promise_of_their_own(change, complaint):
    promise = {"clients_back_seconds": 5}
    assert broken(promise, felt() | {"clients": CUT}) == []
    assert broken(promise, felt() | {"clients": CUT | change}) == [complaint]
    assert broken(promise, felt()) == ["no client was there for it"]


def test_clients_that_do_not_read_have_to_be_closed():
    promise = {"clients_closed_seconds": 20}
    assert broken(promise, felt() | {"clients": UNREAD}) == []
    assert broken(promise, felt() | {"clients": UNREAD | {"closed": 0, "closed_s": {}}}) == ["0 of 20 clients were closed, promised: all"]
    assert broken({"clients_closed_seconds": 14}, felt() | {"clients": UNREAD}) == [
        "a client was closed after 15.0 s, promised: at most 14 s"
    ]


def test_an_operation_that_moves_sockets_did_not_happen_where_none_moved():
    promise = RELAY | {"closed_least": 1}
    assert broken(promise, felt(closed={1012: 1})) == []
    assert broken(promise, felt()) == ["0 sockets were closed, expected at least 1: it did not happen"]


def test_a_percentile_is_a_value_that_was_there():
    assert [percentile([1, 2, 3, 4], q) for q in (50, 99, 100)] == [2, 4, 4]
    assert percentile([7], 50) == 7


@pytest.fixture
def reader():
    crowd = Crowd(Site("https://edge", None, "sessionid", ("one",), ("garden",)), Amounts())
    return Reader(crowd, 0, "socket")


def test_a_reader_counts_what_it_missed_and_what_came_twice(reader):
    reader.began(4, True)
    for number in (5, 7, 7):
        reader.message(number, "text")
    counted = reader.felt
    assert (counted.delivered, counted.lost, counted.duplicated, reader.position) == (3, 1, 1, 7)


def test_a_delivery_is_late_after_a_second(reader):
    reader.began(0, True)
    reader.crowd.sent |= {"slow": time.monotonic() - 1.5, "quick": time.monotonic()}
    reader.message(1, "slow")
    reader.message(2, "quick")
    assert reader.felt.late == 1
    assert reader.felt.slowest_delivery == pytest.approx(1.5, abs=0.2)


def test_a_reader_is_away_from_its_end_until_it_is_subscribed_again(reader):
    reader.began(3, True)
    assert reader.left(1012, True) <= 0.5
    assert reader.left(503, False) >= 0.2
    reader.began(3, True)
    assert (dict(reader.felt.closed), dict(reader.felt.refused), len(reader.felt.away)) == ({1012: 1}, {503: 1}, 1)
    assert reader.subscribed


def test_a_message_whose_answer_was_lost_is_sent_again_and_counted_once(reader):
    class Socket:
        sent = []

        async def send_json(self, frame):
            self.sent.append(frame)

    async def both():
        reader.unsure["k"] = "text"
        await reader.crowd._publish(Socket(), "k", "text")
        for _ in range(2):
            reader.crowd._hear({"type": "ack", "id": 9, "key": "k"}, reader)

    asyncio.run(both())
    assert reader.felt.published == 1
    assert reader.crowd.acknowledged == {"garden": 9}


def test_the_operations_are_readable_and_every_promise_is_used():
    known = operations.read()
    assert len(known) >= 25
    assert {"reload", "kill-daphne", "redis-restart", "app1-gone", "slow-readers", "reconnect-storm", "upgrade-os"} <= set(known)
    words = known["reconnect-storm"].promised, known["slow-readers"].promised
    assert words[0].endswith("no socket closed, all who were cut back within 60 s")
    assert words[1].endswith("no socket closed, who does not read is closed within 60 s")
    steps = [step for op in known.values() for step in (*op.before, *op.do, *op.undo)]
    assert all((acts.SCRIPTS / step["script"].split()[0]).is_file() for step in steps if "script" in step)
    assert all(operation.do for operation in known.values())
    assert [operation.name for operation in operations.choose(known, "kill-redis, reload")] == ["reload", "kill-redis"]
    with pytest.raises(LabError, match="ONLY names 'relaod'; there are: reload"):
        operations.choose(known, "relaod")


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"what": "x", "promise": "none", "do": []}, "promises 'none'; expected one of relay"),
        ({"what": "x", "promise": "relay", "do": [{"make": "a", "wait": 1}]}, "has the step"),
        ({"what": "x", "promise": "relay", "do": [{}]}, "has the step"),
        ({"what": "x", "promise": "relay", "doo": []}, "has doo"),
        ({"what": "x", "promise": "relay", "needs": "a host", "do": []}, "needs 'a host'; expected one of docker, sentinels"),
        ({"what": "x", "promise": "relay", "before": [{"mk": "a"}], "do": []}, "has the step"),
        ({"what": "x", "promise": "relay", "do": [{"clients": "dance"}]}, "lets clients dance; expected one of cut, stop-reading, go"),
    ],
)
def test_an_operation_that_is_none_is_refused(body, complaint):
    with pytest.raises(LabError, match=complaint):
        operations.operation("x", body, {"relay": RELAY})


def test_a_changed_release_is_the_built_one_with_one_file_more_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(acts, "BUILD", tmp_path)
    folder = tmp_path / "releases/app-0123"
    folder.mkdir(parents=True)
    with tarfile.open(folder / "code.tar.gz", "w:gz") as archive:
        for name, text in {"./project/wsgi.py": b"good", "./RELEASE": b"0123", "./manage.py": b"m"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    (folder / "manifest.json").write_text("{}")
    before = json.dumps({"release": "0123", "wheels": "w"})
    (tmp_path / "app.json").write_text(before)
    with acts.changed_release("project/wsgi.py", "bad") as name:
        assert json.loads((tmp_path / "app.json").read_text()) == {"release": name, "wheels": "w"}
        with tarfile.open(tmp_path / f"releases/app-{name}/code.tar.gz") as archive:
            held = {member.name: archive.extractfile(member).read().decode() for member in archive}
        assert held == {"./project/wsgi.py": "bad", "./RELEASE": name, "./manage.py": "m"}
        assert (tmp_path / f"releases/app-{name}/manifest.json").is_file()
    assert (tmp_path / "app.json").read_text() == before
    assert [path.name for path in (tmp_path / "releases").iterdir()] == ["app-0123"]


def test_who_does_not_read_is_closed_within_its_two_clocks():
    """A client that reads nothing answers no ping; nginx gives up what it holds for it after slow_reader."""
    timeouts = yaml.safe_load((ROOT / "ansible/group_vars/all/timeouts.yml").read_text())["timeouts"]
    promised = operations.read()["slow-readers"].promise["clients_closed_seconds"]
    assert promised == timeouts["websocket_ping"] + timeouts["websocket_ping_timeout"] + timeouts["slow_reader"]


class Load:
    """Hosts of which one runs the program of the clients here, against a server that is none of the demo's."""

    environment = "local"
    code = (
        "from gevent import monkey; monkey.patch_all(); from loadtests.impact import clients; clients.LOUD_SECONDS = 0.05; clients.main()"
    )

    def __init__(self):
        self.load, self.app, self.edge = (SimpleNamespace(name=name, variables={}) for name in ("load", "app1", "edge"))
        self.ran, self.for_pings = [], 0

    def start(self, host, command):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([sys.executable, "-c", self.code], cwd=ROOT, text=True, bufsize=1, **pipes)

    def run_all(self, hosts, command):
        self.ran.append(command)
        return {"app1": f"{self.for_pings}\n", "app2": "0\n"}


@pytest.fixture
def here(monkeypatch, start_server):
    """A throng of this machine, given the arguments of the server that it goes to."""
    made = []

    def come(*arguments, **wanted):
        url = f"http://127.0.0.1:{start_server('--whole', *arguments)}"
        monkeypatch.setattr(
            throng, "site_of", lambda hosts, rooms, *_: Site(url, None, "sessionid", ("a", "b"), ("garden", "yard")[:rooms])
        )
        made.append(throng.Throng(Load()))
        made[0].come({"rooms": 2, "count": 30} | wanted)
        return made[0]

    yield come
    for one in made:
        process = one.program and one.program.process
        one.go()
        if process:
            process.stdout.close()
            process.stderr.close()


def test_clients_that_are_cut_at_once_come_back_at_once_and_have_what_was_said_meanwhile(here):
    clients = here()
    clients.do("cut")
    facts = clients.taken()
    assert (facts["did"], facts["count"], facts["reached"], facts["back"], facts["missing"]) == ("cut", 30, 30, 30, 0)
    assert set(facts["back_s"]) == {"50", "95", "100"}
    assert facts["back_s"]["100"] < 1
    assert clients.taken() == {}
    assert broken({"clients_back_seconds": 5}, felt() | {"clients": facts}) == []


def test_clients_that_do_not_read_are_counted_when_their_connection_is_reset(here):
    clients = here("--lie", "reset", count=5, rooms=1, receive_buffer=4096)
    clients.do("stop-reading")
    facts = clients.taken()
    assert (facts["reached"], facts["closed"], facts["for_pings"]) == (5, 5, 0)
    assert facts["messages"] > 1
    assert set(facts["losses"]) == {"ConnectionResetError: Connection reset by peer"}
    assert "ping timeout" in clients.hosts.ran[0] and '"/ws/rooms/garden/"' in clients.hosts.ran[0]


def test_it_did_not_happen_where_all_were_closed_for_pings_alone(here):
    clients = here("--lie", "reset", count=3, rooms=1, receive_buffer=4096)
    clients.hosts.for_pings = 3
    with pytest.raises(LabError, match="their buffers were not filled"):
        clients.do("stop-reading")


def test_clients_that_find_no_place_are_no_clients(here):
    with pytest.raises(LabError, match="the handshake was refused with status 501"):
        here("--lie", "refuse")


def test_a_deed_without_clients_is_refused():
    with pytest.raises(LabError, match="no clients are there who could cut"):
        throng.Throng(Load()).do("cut")


@pytest.mark.parametrize(
    ("fails", "wrong", "expected"),
    [("", [], ["begin", "before", "begin", "do", "undo"]), ("before", ["it failed"], ["begin", "before", "undo"])],
)
def test_what_sets_the_stage_is_not_judged_but_has_to_succeed(fails, wrong, expected):
    done = []

    class Stage:
        felt = Felt(pages=1, delivered=1)

        def begin(self):
            done.append("begin")

        def end(self, settle):
            return self.felt

    def do(step):
        done.append(step["make"])
        if step["make"] == fails:
            raise acts.StepFailed("it failed")

    op = operations.operation("x", {
        "what": "x", "promise": "none", "before": [{"make": "before"}], "do": [{"make": "do"}], "undo": [{"make": "undo"}],
    }, {"none": {}})  # fmt: skip
    row = run.perform(op, Stage(), SimpleNamespace(do=do, throng=SimpleNamespace(taken=lambda: CUT)))
    assert (row["broken"], done) == (wrong, expected)
    assert row["felt"]["clients"] == CUT
    assert "clients back: 20 of 20, half of them, 95 %, all after 1.0 / 2.0 / 3.0 s" in run.line(row)


def test_a_room_that_cannot_be_made_is_told_in_one_line():
    with pytest.raises(LabError, match="no room can be made: /rooms/ says nothing"):
        site.make_rooms("http://127.0.0.1:1", None, "sessionid", "s", 1, "impact")


def test_the_committed_page_is_that_of_the_committed_result():
    if not page.DATA.is_file():
        assert not (page.DOCS / "impact.md").is_file(), "docs/impact.md has no data: python -m loadtests.impact docs results/impact-…"
        return
    assert (page.DOCS / "impact.md").read_text() == page.text(page.read(page.DATA)), "python -m loadtests.impact docs"


def test_a_page_tells_the_worst_of_all_rounds_and_what_was_broken():
    def row(number, **values):
        facts = felt(**values)
        return {
            "operation": "reload", "what": "`make reload`", "promised": "0 failed", "round": number, "seconds": 1.0, "felt": facts,
            "broken": broken(RELAY, facts),
        }  # fmt: skip

    result = {
        "format": 1, "started_unix": 0, "rounds": 2, "topology": "mixed", "amounts": vars(Amounts()), "left_out": ["app1-gone"],
        "cpus": 2, "versions": {"edge": "nginx 1.22.1 · Python 3.11"}, "git_commit": "0123456789abcdef", "state": "complete",
        "rows": [row(1, closed={1012: 300}, away=[0.5, 1.5]), row(2, closed={1012: 290, 1006: 2}, away=[0.4])],
    }  # fmt: skip
    text = page.text(result)
    assert "1 of 2 promises were kept.\n- reload, round 2: closed with 2 x 1006, promised: 1012" in text
    assert "| 300 × 1012, 2 × 1006 |" in text
    assert "| 0.5 / 1.5 / 1.5 s |" in text
    assert "| 1 of 2 |" in text
    assert "Left out, because the hosts are no containers: app1-gone." in text
    assert text.endswith("Commit 0123456789ab. Python 3.11, nginx 1.22.1.\n")


def test_a_page_tells_what_became_of_clients_that_came_for_one_operation():
    facts = felt() | {"clients": UNREAD | {"for_pings": 2}}
    row = {
        "operation": "slow-readers", "what": "300 that do not read", "promised": "0 failed", "round": 1, "seconds": 1.0, "felt": facts,
        "broken": [],
    }  # fmt: skip
    result = {
        "format": 1, "started_unix": 0, "rounds": 1, "topology": "mixed", "amounts": vars(Amounts()), "left_out": [],
        "cpus": 2, "versions": {}, "git_commit": "0123456789abcdef", "state": "complete", "rows": [row],
    }  # fmt: skip
    told = "closed: 20 of 20, half of them, 95 %, all after 12.0 / 14.0 / 15.0 s, 2 of them for pings that they did not answer"
    assert f"- 300 that do not read, round 1: {told}\n" in page.text(result)
    row["felt"] = felt()
    assert page.CAME not in page.text(result)


def test_a_run_that_did_not_end_is_no_page(tmp_path):
    (tmp_path / "impact.json").write_text(json.dumps({"format": 1, "state": "interrupted"}))
    with pytest.raises(LabError, match="expected a complete run"):
        page.publish(tmp_path)
    (tmp_path / "impact.json").write_text("{")
    with pytest.raises(LabError, match="is no result"):
        page.publish(tmp_path)
