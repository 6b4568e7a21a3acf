"""The systemd units, judged by systemd."""

import pytest
import yaml

from cluster.paths import ROOT

# What the units start lies on a host only after a deploy.
PROGRAMS = """
printf '#!/bin/sh\n' > /usr/local/sbin/laurel-backup; chmod +x /usr/local/sbin/*
mkdir -p /srv/app/current/venv/bin /srv/app/current/code /srv/loadtests/current/venv/bin /srv/loadtests/current/code
for program in app/current/venv/bin/uwsgi app/current/venv/bin/python loadtests/current/venv/bin/locust; do
    ln -sf /bin/true /srv/$program
done
"""
UNITS = {
    "edge": "nginx.service laurel-firewall.service laurel-exporter.service",
    "app1": "uwsgi.service daphne@2.service daphne@2.socket worker-first.service laurel-exporter.service",
    "data": "redis-server.service redis-sentinel.service laurel-exporter.service laurel-backup.service laurel-backup.timer",
    "load": "locust.service laurel-exporter.service",
}


@pytest.mark.parametrize("name", UNITS)
def test_systemd_accepts_the_units(host, variant, name):
    rename = "cd /etc/systemd/system && cp daphne@.socket daphne@2.socket\n" if name == "app1" else ""
    code, said = host.run(f"{PROGRAMS}{rename}systemd-analyze verify --man=no {UNITS[name]}", variant, name)
    # systemd only warns of a key that it does not know.
    ours = [line for line in said.splitlines() if any(unit.split("@")[0].split(".")[0] in line for unit in UNITS[name].split())]
    assert (code, ours) == (0, []), said


def test_systemd_warns_of_a_misspelt_key(host):
    misspell = "sed -i 's/^Restart=/Restrat=/' /etc/systemd/system/uwsgi.service\n"
    _, said = host.run(f"{PROGRAMS}{misspell}systemd-analyze verify --man=no uwsgi.service", "mixed", "app1")
    assert "Unknown key 'Restrat'" in said


EXPOSURE = yaml.safe_load((ROOT / "tests/audit/scores.yml").read_text())["exposure"]
# Which unit of those rendered here is judged on which host; a distribution's own lies in the builder with its override.
SHUT_IN = [
    ("app1", "uwsgi.service", "/etc/systemd/system/uwsgi.service"),
    ("app1", "daphne@.service", "/etc/systemd/system/daphne@.service"),
    ("app1", "worker-.service", "/etc/systemd/system/worker-first.service"),
    ("edge", "nginx.service", "nginx.service"),
    ("edge", "laurel-exporter.service", "/etc/systemd/system/laurel-exporter.service"),
    ("data", "laurel-exporter.service", "/etc/systemd/system/laurel-backup.service"),
    ("data", "redis-server.service", "redis-server.service"),
    ("data", "redis-sentinel.service", "/etc/systemd/system/redis-sentinel.service"),
    ("data", "postgresql@.service", "postgresql@15-main.service"),
]


@pytest.mark.parametrize(("name", "limit", "unit"), SHUT_IN)
def test_a_unit_is_shut_in(host, variant, name, limit, unit):
    check = f"{PROGRAMS}systemd-analyze security --offline=true --threshold={round(EXPOSURE[limit] * 10)} {unit}"
    code, said = host.run(check, variant, name)
    assert code == 0, said[-500:]


def test_workers_are_the_inventorys(rendered):
    assert "python -m django send_mail --for-ever\n" in rendered["foreign"]["app1"]["worker/worker.service"]
    assert "SyslogIdentifier=worker-thumbnails\n" in rendered["mixed"]["app1"]["worker/worker.service"]


def test_user_namespaces_are_left_out_only_in_containers(rendered):
    for unit in ("uwsgi/uwsgi.service", "daphne/daphne@.service"):
        assert "PrivateUsers=no\n" in rendered["mixed"]["app1"][unit]
        assert "PrivateUsers=yes\n" in rendered["foreign"]["app1"][unit]
    assert "PrivateUsers=no\n" in rendered["mixed"]["data"]["ansible/roles/redis/templates/redis-server.conf"]


def test_the_last_daphne_has_the_last_port(files):
    assert "ListenStream=198.18.250.21:9002\n" in files["app1"]["daphne/daphne@.socket"]


def test_only_the_environment_holds_a_secret(files, workshop):
    secrets = [path.read_text().strip() for path in (workshop / "secrets").iterdir() if path.suffix != ".lock"]
    assert len(secrets) >= 3
    # The environment is read by systemd and sh alone; everything else anybody on the host may read.
    readable = [
        (name, text)
        for texts in files.values()
        for name, text in texts.items()
        if not name.endswith(("/environment", "/environment.owner"))
    ]
    assert not [name for name, text in readable if any(secret in text for secret in secrets)]
