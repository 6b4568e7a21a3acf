"""docs/results.md says what its data says."""

import pytest

from loadtests.lab import docs, results, run
from loadtests.lab.errors import LabError
from loadtests.lab.plan import parse_plan
from loadtests.lab.report import words


def test_the_committed_page_and_plots_are_those_of_the_committed_result():
    if not docs.DATA.is_file():
        assert not (docs.DOCS / "results.md").is_file(), "docs/results.md has no data: python -m loadtests.lab docs results/latest"
        return
    for name, text in docs.pages(results.read(docs.DATA)).items():
        written = (docs.DOCS / name).read_text(encoding="utf-8")
        assert written == text, f"docs/{name} is not what its data says: python -m loadtests.lab docs"


@pytest.fixture
def result(plan_data, world, row, monkeypatch):
    """A result of pages, with one INVALID trial."""
    plan_data |= {"name": "full", "scenarios": {"pages": plan_data["scenarios"]["pages"]}}
    plan = parse_plan(plan_data, world, "x")
    slots = [(n, c, t) for n in range(1, 5) for c, t in [("mixed", False), ("mixed", True), ("asgi", False), ("wsgi", False)]]
    cost = {"mixed": 400, "asgi": 1200, "wsgi": 402}
    trials = [row(id=f"{n}-{c}-{t}", round=n, candidate=c, twin=t, cpu_us_total=cost[c] + n) for n, c, t in slots]
    trials[-1] |= {"valid": False, "reasons": ["it | swapped"]}
    made = run.new_result(plan, 1) | {"trials": trials, "state": "complete", "seconds": 60}
    return made | {"summary": run.summarise(trials, plan.scenarios)}


def test_a_page_has_the_answer_the_numbers_and_what_was_refused(result):
    files = docs.pages(docs.trimmed(result))
    page = files["results.md"]
    assert "asgi has 2.9" in page and "times the CPU of mixed" in page
    assert "| asgi | ×2.9" in page
    assert "4-wsgi-False: it | swapped" in page
    assert "](results/pages-cpu.svg)" in page
    assert set(files) == {"results.md", "results/pages-cpu.svg", "results/pages-latency.svg"}
    assert "prefers-color-scheme: dark" in files["results/pages-cpu.svg"]


def test_a_page_says_what_was_refused_and_taken_again(result, row):
    page = docs.pages(docs.trimmed(result | {"discarded": [row(id="1-pages-wsgi", valid=False, reasons=["it slept"])]}))["results.md"]
    assert "1 of 16 trials were INVALID, 1 more was refused and taken again" in page
    assert "## Refused, and taken again\n\n- 1-pages-wsgi: it slept\n" in page


def test_a_loss_shows_in_the_delivery_ratio_also_where_the_trial_was_taken_again(plan_data, world, row):
    plan_data |= {"scenarios": {"chat": plan_data["scenarios"]["chat"]}}
    plan = parse_plan(plan_data, world, "x")
    came = {"deliveries": 200, "deliveries_expected": 200}
    trials = [
        row(id=f"{n}-{t}", scenario="chat", unit="delivery", round=n, twin=t, counters=came) for n in range(1, 5) for t in (False, True)
    ]
    lossy = row(id="again", scenario="chat", unit="delivery", valid=False, reasons=["lost"], counters=came | {"deliveries": 150})
    made = run.new_result(plan, 1) | {"trials": trials, "discarded": [lossy]}
    part = run.summarise(trials, plan.scenarios)["chat"]
    assert words.delivered("chat", part, made).endswith(f"{part['baseline']} 1,750 of 1,800 (97.22%).")
    assert words.delivered("chat", part, made | {"discarded": []}).endswith("1,600 of 1,600 (100.00%).")


def test_a_capacity_says_what_is_varied_and_what_came_through(result):
    found = {"points": [1], "rate": 22, "at_least": False, "limit": "late", "throughput": 2839.3, "bottleneck": None, "usl": None}
    head, _, line = docs.capacity({"mixed": found}, "delivery", "message_rate")
    assert head == "| capacity of | holds, by message_rate | deliveries/s | points | Universal Scalability Law | bottleneck |"
    assert line == "| mixed | 22/s (late) | 2,839 | 1 | too few points |  |"


def test_a_page_made_twice_is_the_same(result):
    assert docs.pages(docs.trimmed(result)) == docs.pages(docs.trimmed(result))


def test_only_a_complete_result_of_the_full_plan_is_published(result, tmp_path, monkeypatch):
    monkeypatch.setattr(docs, "DOCS", tmp_path)
    monkeypatch.setattr(docs, "DATA", tmp_path / "results/full.json")
    (tmp_path / "result").mkdir()
    results.write(tmp_path / "result", result | {"state": "shortened"})
    with pytest.raises(LabError, match="is shortened and of the plan full; expected a complete one"):
        docs.publish(tmp_path / "result")
    results.write(tmp_path / "result", result)
    written = docs.publish(tmp_path / "result")
    assert tmp_path / "results.md" in written
    before = (tmp_path / "results.md").read_text()
    assert docs.publish(None) and (tmp_path / "results.md").read_text() == before
