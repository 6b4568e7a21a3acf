"""What `make audit` counts, excuses and writes. The judges themselves are run by it, not here."""

import json
import re

import pytest

from audit import report, suites
from audit.__main__ import RUN
from audit.scores import EXCEPTIONS, EXPOSURE, JUDGES, Finding, Score, counted, exposure_name
from cluster import testbed
from cluster.console import Failure
from cluster.paths import ROOT

RESULTS = json.loads(report.RESULTS.read_text())
SCORES = [(judge, score) for judge, entry in RESULTS.items() for score in entry["scores"]]


def test_the_page_is_what_the_results_make():
    assert report.PAGE.read_text() == report.render(RESULTS)


def test_no_score_that_was_kept_is_missed():
    assert SCORES
    for judge, score in SCORES:
        kept = Score(**{name: value for name, value in score.items() if name != "passed"})
        assert kept.passed, f"{judge}: {score['subject']}"
        assert judge in JUDGES


def test_a_score_above_its_limit_is_missed():
    assert Score("systemd", "x", 1.5, at_most=1.5).passed
    assert not Score("systemd", "x", 1.6, at_most=1.5).passed
    assert not Score("lynis", "x", 79, at_least=80).passed


def test_a_score_without_a_limit_is_an_error():
    with pytest.raises(ValueError, match="has no limit"):
        Score("bandit", "x", 0).passed  # noqa: B018


def test_a_finding_counts_unless_it_is_excused_where_it_stands():
    excused, elsewhere = Finding("B404", "docker/cluster/console.py:4", "subprocess"), Finding("B404", "app/rooms/views.py:4", "subprocess")
    score = counted("bandit", "Python", [excused, elsewhere])
    assert (score.value, score.excused, score.passed) == (1, 1, False)
    assert counted("testssl", "edge", [excused]).value == 1, "what is excused for one judge is not for another"


def test_every_exception_has_a_reason_and_a_judge():
    for exception in EXCEPTIONS:
        assert set(exception["judges"]) <= set(JUDGES)
        assert len(exception["reason"]) > 20
        assert re.compile(exception["finding"]) and re.compile(exception["where"])


@pytest.mark.parametrize(
    ("unit", "limit"),
    [
        ("uwsgi.service", 1.5),
        ("daphne@2.service", 1.5),
        ("worker-thumbnails.service", 1.5),
        ("postgresql@15-main.service", 3.0),
        ("ssh.service", None),
    ],
)
def test_a_unit_has_the_limit_of_itself_or_of_its_template(unit, limit):
    assert EXPOSURE.get(exposure_name(unit)) == limit


def test_every_service_that_is_ours_has_a_limit():
    units = {
        path.name.removesuffix(".j2") for folder in ("uwsgi", "daphne", "mqtt", "nginx") for path in (ROOT / folder).glob("*.service*.j2")
    }
    assert {name.partition(".service")[0] + ".service" for name in units} == {
        "uwsgi.service",
        "daphne@.service",
        "mqtt.service",
        "nginx.service",
    }
    assert all(exposure_name(name.partition(".service")[0] + ".service") for name in units)


def test_every_judge_that_is_named_can_be_run():
    assert set(RUN) == set(JUDGES)


def junit(path, passed, *others):
    """What pytest writes of so many tests that passed, and of others."""
    cases = [f'<testcase classname="tests.test_x" name="test_{number}"/>' for number in range(passed)]
    path.write_text(f"<testsuites><testsuite>{''.join([*cases, *others])}</testsuite></testsuites>")
    return path


@pytest.mark.parametrize("judge", suites.FEWEST)
def test_a_suite_of_ours_that_passes_is_a_score_of_nought(tmp_path, judge):
    (score,) = suites.verdict(judge, "x", junit(tmp_path / "x.xml", 80))
    assert (score.value, score.passed) == (0, True)


@pytest.mark.parametrize("judge", suites.FEWEST)
@pytest.mark.parametrize("how", ["failure", "error"])
def test_a_test_that_failed_misses_the_score_and_is_named(tmp_path, judge, how):
    wrong = f'<testcase classname="tests.test_x" name="test_smuggled"><{how} message="the hidden request\nreached it">…</{how}></testcase>'
    (score,) = suites.verdict(judge, "x", junit(tmp_path / "x.xml", 80, wrong))
    assert (score.value, score.passed) == (1, False)
    assert score.findings == ["test_smuggled tests.test_x: the hidden request reached it"]


def test_a_suite_that_hardly_ran_is_no_verdict(tmp_path):
    skipped = ['<testcase classname="tests.test_x" name="test_y"><skipped message="no"/></testcase>'] * 80
    with pytest.raises(Failure, match="3 tests of the suite ran; expected at least 60"):
        suites.verdict("framing", "x", junit(tmp_path / "x.xml", 3, *skipped))
    with pytest.raises(Failure, match="pytest wrote no results"):
        suites.verdict("framing", "x", tmp_path / "nothing.xml")


@pytest.fixture
def pytest_that_fails(monkeypatch, tmp_path):
    """Pytest writes one failure among many; remembers how it was run."""
    seen = []

    def said(command, codes, seconds, **options):
        seen.append([str(word) for word in command])
        (name,) = (word.removeprefix("--junitxml=") for word in seen[-1] if word.startswith("--junitxml="))
        path = tmp_path / name.removeprefix("/build/") if name.startswith("/build/") else ROOT / name
        junit(path, 80, '<testcase classname="c" name="test_it"><failure message="m"/></testcase>')
        assert 1 in codes, "a suite that fails is a verdict"
        return ""

    monkeypatch.setattr(suites, "said", said)
    monkeypatch.setattr(suites, "BUILD", tmp_path)
    monkeypatch.setattr(suites, "edge", lambda: ("localhost:8443", tmp_path))
    monkeypatch.setattr(testbed, "environment", lambda: ("builder:x", "/build/venv"))
    return seen


@pytest.mark.parametrize(
    ("judge", "runs"), [("framing", "tests/cluster/test_45_framing.py"), ("fuzz", "tests/hostless/daphne/test_daphne_fuzz.py")]
)
def test_the_judge_fails_where_its_suite_fails(pytest_that_fails, judge, runs):
    (score,) = RUN[judge]()
    assert not score.passed
    (command,) = pytest_that_fails
    assert runs in command
    assert (ROOT / runs).is_file()
