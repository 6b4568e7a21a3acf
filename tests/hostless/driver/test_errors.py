"""What a verb says where this machine fails it."""

from pathlib import Path

import pytest

from cluster import __main__ as verbs


@pytest.fixture
def doctor(monkeypatch):
    """Run a function as the verb `doctor`; return its exit code."""

    def run(function):
        monkeypatch.setitem(verbs.VERBS, "doctor", function)
        monkeypatch.setattr("sys.argv", ["cluster", "doctor"])
        return verbs.main()

    return run


def test_a_full_disk_is_one_line_and_no_traceback(doctor, capsys):
    def write(_):
        with open("/dev/full", "w") as disk:
            disk.write("x")

    assert doctor(write) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("laurel: the disk is full") and "make clean" in line


def test_a_full_disk_is_named_by_the_file_where_the_system_names_it(doctor, capsys):
    def write(_):
        raise OSError(28, "No space left on device", "/srv/build/x.tar")

    assert doctor(write) == 2
    assert "the disk is full where /srv/build/x.tar lies" in capsys.readouterr().err


def test_another_error_of_the_system_is_not_called_a_full_disk(doctor):
    def read(_):
        Path("/nowhere/at/all").read_text()

    with pytest.raises(FileNotFoundError):
        doctor(read)
