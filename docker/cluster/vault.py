"""The verb vault: an environment's secrets in a file of its inventory that a password opens, so that a team can share it.

The file gives `secrets` as a whole, in place of what lies in ansible/secrets/<environment>/. Plain text goes through pipes only.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from . import inventory, passwords
from .console import Failure, say
from .paths import ROOT, VENV
from .paths import inventory as folder_of
from .settings import Settings

FILE = "group_vars/laurel/vault.yml"
MARKS = ("$ANSIBLE_VAULT", "!vault")  # of a file, and of a value in one
EXAMPLE = "VAULT_PASSWORD_FILE=~/.laurel-vault"


def password_file() -> Path | None:
    """What opens the vault: a file with the password, or a program that prints it. Raises Failure where it is not there."""
    named = os.environ.get("VAULT_PASSWORD_FILE") or os.environ.get("ANSIBLE_VAULT_PASSWORD_FILE")
    if not named:
        return None
    path = Path(named).expanduser().absolute()
    if not path.is_file():
        raise Failure(f"the vault's password file is {named!r}, and there is no such file; name one, as in: {EXAMPLE}")
    return path


def encrypted(environment: str) -> list[Path]:
    """The files of an inventory that a password opens, or that hold a value which one does."""
    folder = folder_of(environment)
    files = [path for name in ("group_vars", "host_vars") for path in sorted((folder / name).rglob("*")) if path.is_file()]
    return [path for path in files if any(mark in path.read_text(errors="replace") for mark in MARKS)]


def unlock(environment: str) -> None:
    """Let every program that is started find the password, from whatever folder; Failure where it is wanted and not given."""
    path = password_file()
    os.environ.pop("ANSIBLE_VAULT_PASSWORD_FILE", None)  # an empty one is a folder to Ansible
    if path:
        os.environ["ANSIBLE_VAULT_PASSWORD_FILE"] = str(path)
    elif (closed := encrypted(environment)) and not os.environ.get("ANSIBLE_VAULT_IDENTITY_LIST"):
        raise Failure(f"{shown(closed[0])} is encrypted, and no password file is given; name yours, as in: {EXAMPLE}")


def shown(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def is_whole(values: Any) -> bool:
    return isinstance(values, dict) and isinstance(values.get("secrets"), dict)


def keep(chosen: Settings) -> None:
    """Write the secrets of now into the vault, and take away the plain ones once it was read back."""
    environment = chosen.environment
    path, plain = folder_of(environment) / FILE, passwords.folder_of(environment)
    if password_file() is None:
        raise Failure(f"no password file is given to encrypt the secrets with; make one and name it, as in: make vault {EXAMPLE}")
    if (plain / passwords.NOTE).is_file():
        raise Failure("a rotation of secrets has not ended; let it: make rotate-secrets")
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        passwords.write(path, ansible("vault", "encrypt", "--output", "-", "-", text=yaml.safe_dump(current(environment), sort_keys=False)))
        say(f"Wrote {shown(path)}: give it to git, and its password to whoever deploys.")
    values = yaml.safe_load(ansible("vault", "decrypt", "--output", "-", str(path)))
    if not is_whole(values):
        raise Failure(f"{shown(path)} gives no secrets; expected `secrets:` with all of them. Move it away, and run the same command again")
    forget(plain, values)
    say(f"The secrets of {environment!r} are in the vault, and nowhere else. To change one: .venv/bin/ansible-vault edit {shown(path)}")


def current(environment: str) -> dict[str, Any]:
    """The secrets as a deploy would use them; those that nobody has used yet are made."""
    asked = "msg={{ {'secrets': secrets, 'secrets_before': secrets_before} | to_json }}"
    options = ["--inventory", str(folder_of(environment)), "--playbook-dir", str(ROOT / "ansible"), "--connection", "local"]
    said = ansible("", "laurel[0]", *options, "--module-name", "ansible.builtin.debug", "--args", asked)
    return json.loads(json.loads(said.partition("=> ")[2])["msg"])


def ansible(program: str, *words: str, text: str = "") -> str:
    """What `ansible-<program>` prints; it logs nothing."""
    command = [str(VENV / "bin" / f"ansible{program and '-' + program}"), *words]
    environment = {**inventory.ansible_environment(), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    environment.pop("ANSIBLE_LOG_PATH", None)
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment, cwd=ROOT / "ansible")
    if done.returncode:
        # Ansible shows what it worked out on standard output: the reason alone is told.
        reason = " ".join(done.stderr.split()).partition("[ERROR]: ")[2] or f"{command[0]} ended with code {done.returncode}"
        raise Failure(f"the vault cannot be written or read: {reason[:300]}")
    return done.stdout


def forget(plain: Path, values: dict[str, Any]) -> None:
    """Remove the plain files whose text the vault has. Raises Failure where one differs."""
    secrets, before = values["secrets"], values.get("secrets_before") or {}
    kept = {name: text for name, text in secrets.items() if isinstance(text, str)}
    kept |= {f"mqtt_{user}": text for user, text in (secrets.get("mqtt_passwords") or {}).items()}
    kept |= {f"{name}.before": text for name, text in before.items()}
    here = [path for path in plain.glob("*") if path.is_file()] if plain.is_dir() else []
    locks = [path for path in here if path.suffix in (".lock", ".lockfile")]
    differing = [path for path in here if path not in locks and path.read_text().strip() != kept.get(path.name)]
    if differing:
        names = ", ".join(sorted(path.name for path in differing))
        raise Failure(
            f"{shown(plain)} has {names}, and the vault has no such secret, or another text: what is in the vault counts. "
            "Take over what is missing, remove the files, and run the same command again"
        )
    for path in here:
        path.unlink()
    if here:
        plain.rmdir()


def refuse_rotation(environment: str, host: str) -> None:
    """Raise Failure where the inventory itself gives the secrets: only who writes them there can replace them."""
    ours = yaml.safe_load((ROOT / "ansible/group_vars/all/secrets.yml").read_text())["secrets"]
    if inventory.variables(environment, host)["secrets"] != ours:
        raise Failure(
            f"the inventory {environment!r} gives its secrets itself ({FILE}), and this verb replaces those that lie in "
            f"ansible/secrets/{environment}/; edit them there, then make deploy: docs/runbooks/secrets-leaked.md has the steps"
        )


def mqtt_password(environment: str, host: str, user: str) -> str | None:
    """The password of a user of the broker; None where there is none yet."""
    path = passwords.folder_of(environment) / f"mqtt_{user}"
    if path.is_file():
        return path.read_text().strip()
    if not encrypted(environment):
        return None
    known = inventory.variables(environment, host)["secrets"].get("mqtt_passwords")
    return known.get(user) if isinstance(known, dict) else None
