"""What people felt, whether it keeps a promise, and the page that is made of it."""

import asyncio
import io
import json
import tarfile
import time

import pytest

from loadtests.impact import acts, operations, page
from loadtests.impact.felt import Felt, broken, percentile
from loadtests.impact.people import Amounts, Crowd, Reader, Site
from loadtests.lab.errors import LabError

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
    assert {"reload", "kill-daphne", "redis-restart", "app1-gone"} <= set(known)
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


def test_a_run_that_did_not_end_is_no_page(tmp_path):
    (tmp_path / "impact.json").write_text(json.dumps({"format": 1, "state": "interrupted"}))
    with pytest.raises(LabError, match="expected a complete run"):
        page.publish(tmp_path)
    (tmp_path / "impact.json").write_text("{")
    with pytest.raises(LabError, match="is no result"):
        page.publish(tmp_path)
