"""The systemd units, rendered with the data that the hosts get."""

import re
import shutil
import subprocess

import jinja2
import pytest
import yaml

from daphne_process import ROOT

DATA = ROOT / "ansible" / "group_vars" / "all"
DEFAULTS = yaml.safe_load((ROOT / "ansible/roles/daphne/defaults/main.yml").read_text())
VARIABLES = {name: value for name, value in DEFAULTS.items() if "{{" not in str(value)} | {
    "daphne_user": "app",
    "daphne_module": "project.asgi:application",
    "daphne_launcher_dir": "/srv/app/current/launcher",
    "daphne_metrics_address": "0.0.0.0:9100",
    "daphne_cpu_affinity": "0",
    "daphne_environment": {"ASGI_THREADS": "8"},
    "daphne_bind": "0.0.0.0",
    "daphne_instance": 1,
    "daphne_port": 9001,
    "systemd_private_users": True,
}


def render(name, **changes):
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(ROOT / "daphne"), undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["ternary"] = lambda value, yes, no: yes if value else no  # Ansible's
    data = {name: yaml.safe_load((DATA / f"{name}.yml").read_text())[name] for name in ("sizes", "timeouts")}
    return environment.get_template(name).render({**data, **VARIABLES, **changes})


def flags(unit):
    """The flags of ExecStart with their values."""
    command = re.search(r"^ExecStart=((?:.*\\\n)*.*)$", unit, re.MULTILINE)[1]
    return dict(re.findall(r"--([\w-]+) (\S+)", command))


def test_the_unit_is_valid(tmp_path):
    (tmp_path / "daphne@1.socket").write_text(render("daphne@.socket.j2"))
    service = render("daphne@.service.j2").replace("/srv/app/current/venv/bin/python", shutil.which("true"))
    (tmp_path / "daphne@1.service").write_text(service)
    units = [str(tmp_path / name) for name in ("daphne@1.socket", "daphne@1.service")]
    verify = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert [line for line in verify.stderr.splitlines() if "daphne@" in line] == []


@pytest.mark.parametrize("private_users", [True, False], ids=["host", "container"])
def test_the_sandbox_is_tight(tmp_path, private_users):
    (tmp_path / "daphne@1.service").write_text(render("daphne@.service.j2", systemd_private_users=private_users))
    subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", tmp_path / "daphne@1.service"],
        check=True,
        capture_output=True,
    )


def test_every_flag_of_the_unit_is_known():
    import laurel_daphne.cli

    unit = render("daphne@.service.j2")
    command = re.search(r"-m laurel_daphne ((?:.*\\\n)*.*)$", unit, re.MULTILINE)[1]
    arguments = command.replace("\\\n", " ").replace("%i", "1").split()
    options = laurel_daphne.cli.CommandLine().parser.parse_args(arguments)
    assert options.application == "project.asgi:application"


def test_the_drain_ends_before_systemd_kills():
    unit = render("daphne@.service.j2")
    limit, grace = (float(flags(unit)[name]) for name in ("drain-limit", "drain-grace"))
    assert limit + grace < float(re.search(r"TimeoutStopSec=(\d+)", unit)[1])


def test_metrics_can_be_off():
    assert "--metrics-address" not in render("daphne@.service.j2", daphne_metrics_address="")
