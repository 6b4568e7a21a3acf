"""Run a playbook of ansible/ against an environment."""

import getpass
import json
import os
import re
import socket
import subprocess
from collections.abc import Sequence

from .console import Failure
from .inventory import ansible_environment
from .paths import ROOT, VENV, inventory

ANSIBLE = ROOT / "ansible"


def environment() -> dict[str, str]:
    """What ansible-playbook finds in its environment: our configuration, and Mitogen for speed where it is installed.

    Mitogen is only a faster transport; LAUREL_TRANSPORT=ssh leaves it out, and every playbook runs without it.
    """
    env = ansible_environment()
    found = sorted(VENV.glob("lib/python3*/site-packages/ansible_mitogen/plugins/strategy"))
    if found and os.environ.get("LAUREL_TRANSPORT", "mitogen") == "mitogen":
        env |= {"ANSIBLE_STRATEGY_PLUGINS": str(found[0]), "ANSIBLE_STRATEGY": "mitogen_linear"}
    return env


def who() -> str:
    """Who runs the verbs, for locks and audit lines."""
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"


def run(name: str, settings_environment: str, *arguments: str) -> None:
    """Run ansible/<name>.yml and show what it does; raise Failure where it fails."""
    command: Sequence[str] = [
        str(VENV / "bin" / "ansible-playbook"), "--inventory", str(inventory(settings_environment)),
        str(ANSIBLE / f"{name}.yml"), "--extra-vars", f"relay_who={who()}", *arguments,
    ]  # fmt: skip
    code = subprocess.call(command, cwd=ANSIBLE, env=environment(), stdin=subprocess.DEVNULL)
    if code:
        raise Failure(f"the playbook {name}.yml stopped (code {code}): the reason is above. Mended, run the same command again")


def validate(settings_environment: str) -> None:
    """Let ansible/validate.yml look at the inventory; raise Failure with a line for each thing that cannot work."""
    command = [VENV / "bin/ansible-playbook", "--inventory", inventory(settings_environment), ANSIBLE / "validate.yml"]
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ANSIBLE,
        env={**environment(), "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        return
    said = re.search(r"^fatal: \[.*?\]: FAILED! => (\{.*\})$", done.stdout, re.MULTILINE)
    complaints = json.loads(said[1])["msg"] if said else None
    if isinstance(complaints, list):
        raise Failure("\nlaurel: ".join(complaints))
    errors = re.findall(r"^\[ERROR\]: (.*)$", done.stdout + done.stderr, re.MULTILINE)
    reason = complaints or (errors[0] if errors else (done.stderr or done.stdout).strip()[-600:])
    raise Failure(f"the inventory {settings_environment!r} cannot be read: {reason}")
