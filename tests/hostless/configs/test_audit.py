"""What `make audit` counts, excuses and writes. The judges themselves are run by it, not here."""

import json
import re

import pytest

from audit import report
from audit.scores import EXCEPTIONS, EXPOSURE, JUDGES, Finding, Score, counted, exposure_name
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
