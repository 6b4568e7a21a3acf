"""Who is not let in, and what is not to be seen."""

import re
import shlex

import pytest

CONNECT = "timeout 3 bash -c '</dev/tcp/{address}/{port}' 2>/dev/null; echo $?"
DROPPED, OPEN = "124", "0"


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        *((source, "data", port) for source in ("edge", "load") for port in (5432, 6379)),
        *(("load", "app1", port) for port in (3031, 9001, 9002)),
        ("app2", "app1", 3031),
        ("data", "app2", 9001),
    ],
)
def test_a_host_without_business_there_is_not_answered(deployed, source, target, port):
    assert deployed.on(source, CONNECT.format(address=deployed.address(target), port=port))[1].strip() == DROPPED


@pytest.mark.parametrize(
    ("source", "target", "port"), [("app1", "data", 5432), ("app2", "data", 6379), ("edge", "app1", 3031), ("edge", "app2", 9002)]
)
def test_a_host_with_business_there_is(deployed, source, target, port):
    assert deployed.on(source, CONNECT.format(address=deployed.address(target), port=port))[1].strip() == OPEN


def ask(deployed, lines):
    """Run Python of the application on an app host; the last line it says."""
    script = "; ".join(lines)
    return deployed.on("app1", f"/srv/app/current/venv/bin/python -c '{script}'")[1].strip().splitlines()[-1]


def test_postgresql_refuses_a_wrong_password(deployed):
    url = f"postgresql://app:wrong@{deployed.address('data')}/app"
    assert "password authentication failed" in ask(deployed, ["import psycopg", f'psycopg.connect("{url}")'])


def test_postgresql_lets_nobody_become_the_administrator(deployed):
    url = f"postgresql://postgres:postgres@{deployed.address('data')}/postgres"
    assert "no pg_hba.conf entry" in ask(deployed, ["import psycopg", f'psycopg.connect("{url}")'])


TRY = """
from django.db import connection, transaction
with transaction.atomic():
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute('''{statement}''')
        print("done")
    except Exception as error:
        print(str(error).splitlines()[0])
    transaction.set_rollback(True)
"""


def database_says(deployed, statement, *options):
    """What PostgreSQL says to a statement of the application, which is taken back; with --as-owner, of its migrations."""
    command = shlex.join(["sudo", "app-manage", *options, "shell", "--command", TRY.format(statement=statement)])
    return deployed.on("app1", command)[1].strip().splitlines()[-1]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE extra (id int)",
        "CREATE TEMPORARY TABLE extra (id int)",
        "CREATE SCHEMA extra",
        "ALTER TABLE django_session ADD COLUMN extra int",
        "DROP TABLE django_session",
        "TRUNCATE django_session",
        "CREATE INDEX extra ON django_session (session_data)",
        "CREATE FUNCTION extra() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$",
        "SET ROLE app",
        "SELECT rolpassword FROM pg_authid",
        "COPY django_session TO PROGRAM $$cat$$",
    ],
)
def test_the_application_cannot_change_its_schema_nor_leave_it(deployed, statement):
    said = database_says(deployed, statement)
    assert re.search("permission denied|must be owner|must be superuser", said), said


def test_its_migrations_can_and_rows_are_its_own(deployed):
    assert database_says(deployed, "DELETE FROM django_session") == "done"
    assert database_says(deployed, "ALTER TABLE django_session ADD COLUMN extra int", "--as-owner") == "done"
    made = "CREATE TABLE extra (id int); SELECT 1 / has_table_privilege('app_rows', 'extra', 'INSERT')::int"
    assert database_says(deployed, made, "--as-owner") == "done"


def test_redis_refuses_a_wrong_password_and_none(deployed):
    connection = f'redis.Redis("{deployed.address("data")}", '
    assert "invalid username-password pair" in ask(deployed, ["import redis", connection + 'username="channels", password="wrong").ping()'])
    assert "Authentication required" in ask(deployed, ["import redis", connection + "protocol=2).ping()"])


def test_the_application_was_installed_from_shipped_wheels_only(deployed):
    script = "for d in /srv/app/current/venv/lib/python3*/site-packages/*.dist-info; do test -f $d/direct_url.json || basename $d; done"
    code, said = deployed.on("app1", script)
    assert code == 0
    # What every virtual environment begins with.
    assert {line.split("-")[0] for line in said.split()} <= {"pip", "setuptools"}
    assert (
        deployed.on("app1", "sudo sh -c 'grep -rhs index /etc/pip.conf ~root/.config/pip ~root/.pip ~vagrant/.config/pip ~vagrant/.pip'")[1]
        == ""
    )


@pytest.mark.parametrize("host", ["edge", "app1", "app2", "data", "load"])
def test_secrets_are_in_no_process_list_and_no_journal(deployed, host):
    _, said = deployed.on(host, "sudo sh -c 'cat /proc/[0-9]*/cmdline | tr \\\\0 \" \"; journalctl -o cat'")
    assert "sshd" in said
    assert [name for name, secret in deployed.secrets().items() if secret in said] == []


def test_secrets_are_in_no_output_and_no_log_of_the_verbs(deployed, first_deploy):
    logs = "".join(path.read_text(errors="replace") for path in (deployed.root / ".laurel/logs").glob("*.log"))
    said = first_deploy.out + first_deploy.err + logs
    assert len(deployed.secrets()) >= 4
    assert [name for name, secret in deployed.secrets().items() if secret in said] == []


def test_secrets_are_readable_by_their_owner_only(deployed):
    assert {oct(path.stat().st_mode & 0o777) for path in (deployed.root / "ansible/secrets/local").iterdir()} == {"0o600"}
    assert deployed.on("app1", "sudo stat -c %a /etc/app/environment /etc/app/environment.owner")[1].split() == ["600", "600"]


def test_no_file_of_the_release_can_be_written_by_the_application(deployed):
    script = "sudo find -L /srv/app/current/code /srv/app/current/static -user app -o -perm -o+w -not -type l | head -3"
    assert deployed.on("app1", script)[1] == ""
