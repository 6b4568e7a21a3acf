"""What a person sees of a verb."""

import subprocess
import sys
from pathlib import Path

import pytest

from cluster import __main__ as verbs
from cluster import console, lock, playbook
from cluster.console import Failure


@pytest.fixture
def logs(tmp_path, monkeypatch):
    monkeypatch.setattr(console, "LOGS", tmp_path)
    return tmp_path


def test_a_step_says_how_long_it_took(capsys):
    with console.step("Boiling water"):
        pass
    assert capsys.readouterr().out == "  Boiling water … done in 0.0 s\n"


def test_a_step_that_fails_says_so(capsys):
    with pytest.raises(Failure), console.step("Boiling water"):
        raise Failure("no gas")
    assert "Boiling water … failed after 0.0 s" in capsys.readouterr().out


def test_a_command_that_fails_shows_the_end_of_its_log(logs):
    with pytest.raises(Failure) as failure:
        console.run([sys.executable, "-c", "print('early\\n' * 100 + 'the reason'); exit(3)"], log="boil")
    assert "ended with code 3" in str(failure.value)
    assert str(logs / "boil.log") in str(failure.value)
    assert str(failure.value).endswith("the reason")
    assert str(failure.value).count("early") < console.LOG_LINES_SHOWN


def test_the_output_of_a_command_that_does_not_exist_is_none():
    assert console.output(["no-such-command"]) is None


def test_a_verb_that_does_not_exist_is_refused_with_those_that_do(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cluster", "fly"])
    assert verbs.main() == 2
    assert "laurel: expected one of: prepare, deploy," in capsys.readouterr().err


def test_a_failure_is_one_line_and_code_2(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cluster", "status"])
    monkeypatch.setenv("ENVIRONMENT", "nowhere")
    assert verbs.main() == 2
    said = capsys.readouterr()
    assert said.err.startswith("laurel: there is no environment 'nowhere'")
    assert said.err.count("\n") == 1


def test_an_interrupt_says_how_to_go_on(monkeypatch, capsys):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["cluster", "status"])
    monkeypatch.setitem(verbs.VERBS, "status", interrupt)
    assert verbs.main() == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_playbooks_run_without_mitogen_where_that_is_asked_for(monkeypatch):
    monkeypatch.setenv("LAUREL_TRANSPORT", "ssh")
    assert "ANSIBLE_STRATEGY" not in playbook.environment()
    assert playbook.environment()["ANSIBLE_CONFIG"].endswith("ansible/ansible.cfg")


def test_two_verbs_do_not_change_an_environment_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "STATE", tmp_path)
    monkeypatch.delenv(lock.HELD, raising=False)
    with lock.exclusive("local", "deploy"):
        monkeypatch.delenv(lock.HELD)  # as in a process that is no child of the first
        with pytest.raises(Failure, match=r"local is being changed: `make deploy` has run since 2"), lock.exclusive("local", "topology"):
            pass
        monkeypatch.setenv(lock.HELD, "local")
    with lock.exclusive("local", "topology"):
        pass


CTRL_C = """
import os, signal, sys, threading
from cluster import console

child = "import time; print('up', flush=True); time.sleep(1.5); print('put back', flush=True); exit(7)"
signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT)).start()
sys.exit(console.patiently([sys.executable, "-c", child]))
"""


def test_after_ctrl_c_a_command_may_put_things_back():
    done = subprocess.run([sys.executable, "-c", CTRL_C], cwd=Path(console.__file__).parents[1], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (7, "up\nput back\n"), done.stderr
