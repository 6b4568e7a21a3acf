"""What the gate lets through and what it does not."""

import pytest

from loadtests.lab.plan import Gate
from loadtests.lab.validity import reasons_against

GATE = Gate(max_error_share=0.0, max_late_share=0.02, max_generator_cpu=0.7, max_offered_sigma=4, max_clock_drift=0.15)


def test_a_good_trial_passes(row):
    assert reasons_against(row(), GATE) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"errors": 3, "error_kinds": {"json: status 502": 3}}, "3 of 715 answers were wrong (json: status 502)"),
        ({"counters": {"dropped": 4}}, "4 arrivals dropped"),
        ({"counters": {"late": 30}}, "late for 4.2% of the requests"),
        ({"sent": 600}, "600 sent, 720 offered"),
        ({"generator": {"cpu_share": 0.85}}, "used 85% of its CPU"),
        ({"sockets": {"expected": 40, "open": 38}}, "38 sockets open at the end, 40 expected"),
        ({"counters": {"deliveries_expected": 100, "deliveries": 97}}, "3 deliveries lost"),
        ({"counters": {"duplicates": 2}}, "2 messages came twice"),
        ({"counters": {"lost": 1}}, "1 messages were lost"),
        ({"host_seconds": 7.0}, "the window was 6.00 s for the load, 7.00 s for the hosts"),
        ({"clock_drift": 0.3}, "30% slower"),
        ({"doubts": ["uwsgi.service on app1 was restarted during the measurement"]}, "was restarted"),
        ({"measured": False, "failure": "no host"}, "no host"),
    ],
)
def test_a_bad_trial_is_refused_with_the_reason(row, changes, words):
    reasons = reasons_against(row(**changes), GATE)
    assert len(reasons) == 1
    assert words in reasons[0]
