"""Histograms of many processes add up to the histogram of all."""

import random

import pytest

from loadtests.users.histograms import HIGHEST_US, empty, encode, merge, percentiles_ms, record
from loadtests.users.recorder import Recorder


def test_merged_parts_equal_the_whole():
    rng = random.Random(5)
    whole, parts = empty(), [empty(), empty(), empty()]
    for index in range(6000):
        seconds = rng.lognormvariate(-5, 1)
        record(whole, seconds)
        record(parts[index % 3], seconds)
    merged = merge([encode(p) for p in parts])
    assert merged.total_count == 6000
    assert percentiles_ms(merged) == percentiles_ms(whole)


def test_percentiles_are_in_milliseconds_and_exact_to_a_thousandth():
    histogram = empty()
    for thousandth in range(1, 1001):
        record(histogram, thousandth / 1000)
    values = percentiles_ms(histogram)
    assert values["p50"] == pytest.approx(500, rel=2e-3)
    assert values["p99"] == pytest.approx(990, rel=2e-3)


def test_what_lies_outside_the_range_is_kept_at_its_end():
    histogram = empty()
    record(histogram, -1.0)
    record(histogram, 1e6)
    assert histogram.total_count == 2
    assert histogram.get_max_value() == pytest.approx(HIGHEST_US, rel=1e-3)


def test_an_empty_histogram_has_no_percentiles():
    assert percentiles_ms(merge([encode(empty())])) == {"p50": None, "p95": None, "p99": None, "max": None}


def test_the_window_takes_what_was_intended_in_it_however_late_it_came():
    now = [10.0]
    recorder = Recorder(clock=lambda: now[0])
    recorder.open()
    now[0] = 12.0
    recorder.close()
    recorder.answered("GET", "a", intended=9.9, started=9.9, finished=11.0)
    recorder.answered("GET", "a", intended=11.9, started=13.0, finished=14.0)
    recorder.answered("GET", "a", intended=12.0, started=12.0, finished=12.1)
    recorder.answered("GET", "a", intended=11.0, started=11.0, finished=11.1, error="wrong body")
    series = recorder.as_dict()["series"]["a"]
    assert (series["count"], series["failed"], series["errors"]) == (2, 1, {"wrong body": 1})
    assert percentiles_ms(merge([series["latency"]]))["max"] == pytest.approx(2100, rel=2e-3)
    assert percentiles_ms(merge([series["service"]]))["max"] == pytest.approx(1000, rel=2e-3)
