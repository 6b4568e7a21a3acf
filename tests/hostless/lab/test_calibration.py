"""The calibration waits for a busy moment to pass, and does not wait for ever."""

import pytest

from loadtests.lab.calibration import FEWEST, calibrate, drift, fastest


class Machine:
    """Tries that take as long as told, on a clock of their own."""

    def __init__(self, times):
        self.times, self.now, self.tries = iter(times), 0.0, 0

    def once(self):
        self.tries += 1
        taken = next(self.times)
        self.now += 0.01
        return taken

    def clock(self):
        return self.now


def test_one_undisturbed_try_is_enough():
    machine = Machine([1.3] * 5 + [1.0] + [1.4] * 50)
    assert fastest(machine.once, None, machine.clock) == 1.0
    assert machine.tries == FEWEST


def test_a_busy_moment_passes():
    machine = Machine([1.3] * 60 + [1.0] * 60)
    assert fastest(machine.once, 1.0, machine.clock) == 1.0
    assert 60 < machine.tries < 65


def test_a_machine_that_stays_slow_is_called_slow():
    machine = Machine([1.3] * 1000)
    assert fastest(machine.once, 1.0, machine.clock) == 1.3
    assert machine.tries < 160


def test_drift_is_that_of_the_cpu_that_changed_most_either_way():
    assert drift({0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.1}) == pytest.approx(0.1)
    assert drift({0: 1.0, 1: 1.0}, {0: 0.8, 1: 1.1}) == pytest.approx(0.2)


def test_a_real_calibration_puts_the_cpus_back():
    import os

    before, best = os.sched_getaffinity(0), {}
    cpu = min(before)
    found = calibrate([cpu], best)
    assert os.sched_getaffinity(0) == before
    assert 0 < best[cpu] <= found[cpu]
