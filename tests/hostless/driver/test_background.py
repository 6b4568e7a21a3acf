"""What outlives its verb: one process a name, and never another's."""

import sys
import time

import pytest

from cluster import background

COMMAND = [sys.executable, "-c", "import time; time.sleep(30)", "test-sleeper"]


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setattr(background, "ROOT", tmp_path)
    monkeypatch.setattr(background, "STATE", tmp_path)
    monkeypatch.setattr(background, "LOGS", tmp_path / "logs")
    yield
    background.stop("test-sleeper")


def ended(pid):
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().split()[2] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_a_second_start_changes_nothing_and_a_stop_ends_it():
    background.start("test-sleeper", COMMAND)
    pid = background.running("test-sleeper")
    assert pid
    background.start("test-sleeper", COMMAND)
    assert background.running("test-sleeper") == pid
    background.stop("test-sleeper")
    assert ended(pid)
    assert background.running("test-sleeper") is None


def test_a_process_that_has_the_id_by_now_is_left_alone(tmp_path):
    background.pid_file("test-sleeper").write_text("1\n")
    assert background.running("test-sleeper") is None
    background.stop("test-sleeper")
    assert not background.pid_file("test-sleeper").exists()


def test_one_that_does_not_hear_the_first_word_is_ended_too(monkeypatch, tmp_path):
    """A shell without job control starts what runs in the background deaf to SIGINT."""
    monkeypatch.setattr(background, "DEAF_SECONDS", 0.2)
    deaf = "import pathlib, signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); pathlib.Path('deaf').touch(); time.sleep(30)"
    background.start("test-sleeper", [sys.executable, "-c", deaf, "test-sleeper"])
    while not (tmp_path / "deaf").exists():
        time.sleep(0.01)
    pid = background.running("test-sleeper")
    background.stop("test-sleeper")
    assert ended(pid)
