"""What the gate lets through and what it does not."""

import pytest

from loadtests.lab.plan import Gate
from loadtests.lab.validity import is_generators_fault, reasons_against

GATE = Gate(max_late_share=0.02, max_generator_cpu=0.7, max_offered_sigma=4, max_little_apart=0.1, max_clock_drift=0.05, max_slowdown=0.75)


def test_a_good_trial_passes(row):
    assert reasons_against(row(), GATE) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"errors": 3, "error_kinds": {"json: status 502": 3}}, "3 of 715 answers were wrong (json: status 502)"),
        ({"counters": {"dropped": 4}}, "4 arrivals dropped"),
        ({"counters": {"late": 30}}, "late for 4.2% of the requests"),
        ({"sent": 600}, "the generator sent 600, 720 were offered"),
        ({"generator": {"cpu_share": 0.85}}, "used 85% of its CPUs"),
        ({"sockets": {"expected": 40, "opened": 40, "open": 38}}, "38 sockets open at the end, 40 opened, 40 expected"),
        ({"sockets": {"expected": 40, "opened": 39, "open": 39}}, "39 sockets open at the end, 39 opened, 40 expected"),
        ({"counters": {"lost": 2}}, "2 messages were lost"),
        ({"counters": {"out_of_order": 2}}, "2 messages came out of order"),
        ({"in_flight": {"counted": 8.0, "expected": 6.5, "requests": 715}}, "8.00 requests in flight, 6.50 by Little's law"),
        ({"counters": {"deliveries_expected": 100, "deliveries": 97}}, "3 deliveries lost"),
        ({"counters": {"duplicates": 2}}, "2 messages came twice"),
        ({"counters": {"lost": 1}}, "1 messages were lost"),
        ({"host_seconds": 7.0}, "the window was 6.00 s for the load, 7.00 s for the hosts"),
        ({"clock_drift": 0.06}, "changed by 6%"),
        ({"slowdown": 0.8}, "80% slower"),
        ({"doubts": ["uwsgi.service on app1 was restarted during the measurement"]}, "was restarted"),
        ({"measured": False, "failure": "no host"}, "no host"),
    ],
)
def test_a_bad_trial_is_refused_with_the_reason(row, changes, words):
    reasons = reasons_against(row(**changes), GATE)
    assert len(reasons) == 1
    assert words in reasons[0]


def test_errors_that_are_declared_pass(row):
    bad = row(errors=3, error_kinds={"json: status 503": 3})
    assert reasons_against(bad, GATE, max_error_share=0.01) == []
    assert len(reasons_against(bad, GATE, max_error_share=0.001)) == 1


def test_littles_law_is_not_asked_of_a_handful(row):
    assert reasons_against(row(in_flight={"counted": 0.05, "expected": 0.03, "requests": 715}), GATE) == []
    assert reasons_against(row(in_flight={"counted": 8.0, "expected": 2.0, "requests": 12}), GATE) == []


def test_the_generators_faults_are_known(row):
    assert is_generators_fault(reasons_against(row(generator={"cpu_share": 0.85}), GATE))
    assert not is_generators_fault(reasons_against(row(errors=3), GATE))
