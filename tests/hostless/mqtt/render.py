"""Render what the data host and the app hosts get for MQTT: `python render.py FOLDER`.

It needs the controller's environment (.venv with Ansible), the tests of what it writes need a Mosquitto: they run in the
builder container, where there is no Ansible. So `tests/run mqtt` does this first.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
ANSIBLE = ROOT / "ansible"
PLAYBOOK = ROOT / ".venv/bin/ansible-playbook"


def render(folder):
    """Write the files, and below secrets/ the passwords that were made up."""
    inventory = folder / "inventory"
    everyone = inventory / "group_vars" / "all"
    everyone.mkdir(parents=True)
    for role in ("mosquitto", "mqtt", "nginx"):
        (everyone / f"0-{role}.yml").symlink_to(ANSIBLE / f"roles/{role}/defaults/main.yml")
    for path in (ANSIBLE / "group_vars/all").glob("*.yml"):
        (everyone / f"1-{path.name}").symlink_to(path)
    hosts = yaml.safe_load((ANSIBLE / "inventories/local/hosts.yml").read_text())
    hosts["laurel"]["vars"] = {"ansible_host": "127.0.0.1", "systemd_private_users": True}
    (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))
    extra = {"laurel_root": str(ROOT), "output_dir": str(folder), "secrets_dir": str(folder / "secrets"), "pki_dir": str(folder)}
    done = subprocess.run(
        [PLAYBOOK, "--inventory", inventory, "--extra-vars", json.dumps(extra), HERE / "render.yml"],
        env={
            **os.environ, "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"), "LC_ALL": "C.UTF-8",
            "ANSIBLE_FILTER_PLUGINS": str(ANSIBLE / "roles/mosquitto/filter_plugins"), "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        },
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


if __name__ == "__main__":
    target = Path(sys.argv[1]).resolve()
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    render(target)
