"""PostgreSQL and Redis with the settings that the data host gets, really started."""

import hashlib

import pytest

POSTGRESQL = """
chown -R postgres: /etc/postgresql && chmod 640 /etc/postgresql/15/main/pg_hba.conf
pg_ctlcluster 15 main restart
"""
ASK = "setpriv --reuid postgres --clear-groups psql --no-align --tuples-only --command"
REDIS = """
chown -R redis /etc/redis /var/lib/redis
(setpriv --reuid redis --clear-groups redis-server /etc/redis/redis.conf --supervised no > /tmp/redis.log 2>&1 &)
for i in $(seq 50); do redis-cli ping 2>&1 | grep -q NOAUTH && break; sleep 0.1; done
"""
STOP_REDIS = "pkill redis-server; for i in $(seq 50); do pgrep redis-server > /dev/null || break; sleep 0.1; done"


@pytest.fixture(scope="module")
def postgresql(host):
    code, said = host.run(POSTGRESQL, "mixed", "data")
    assert code == 0, said

    def ask(query):
        code, said = host.run(f'{ASK} "{query}"')
        assert code == 0, said
        return said.strip()

    yield ask
    host.run("pg_ctlcluster 15 main stop --mode immediate")


@pytest.fixture(scope="module")
def redis(host, workshop):
    """Run redis-cli as the application, or as nobody."""
    code, said = host.run(REDIS, "mixed", "data")
    assert code == 0, said
    password = (workshop / "secrets/redis_password").read_text().strip()

    def ask(command, known=True):
        login = f"REDISCLI_AUTH={password} redis-cli --user channels" if known else "redis-cli"
        return host.run(f"{login} {command}")[1].strip()

    yield ask
    host.run(STOP_REDIS)


def test_postgresql_accepts_its_settings(postgresql):
    assert postgresql("select name, error from pg_file_settings where error is not null") == ""
    assert postgresql("select setting from pg_settings where name = 'statement_timeout'") == "30000"


def test_postgresql_lets_in_only_the_app_hosts_with_a_password(postgresql):
    assert postgresql("select error from pg_hba_file_rules where error is not null") == ""
    rules = postgresql("select type, database, user_name, address, auth_method from pg_hba_file_rules").splitlines()
    assert rules == [
        "local|{all}|{postgres}||peer",
        "local|{postgres}|{prometheus}||peer",
        "host|{app}|{+app_rows,+app}|198.18.250.21|scram-sha-256",
        "host|{app}|{+app_rows,+app}|198.18.250.22|scram-sha-256",
    ]


def test_the_rights_are_to_rows_of_what_is_there_and_of_what_will_be(host, postgresql):
    for statement in ("create role app", "create role app_rows", "create database scratch owner app"):
        postgresql(statement)
    before, after = "set role app; create table old (id serial)", "set role app; create table new (id serial)"
    may = "select {}, string_agg(p, ',' order by p) from unnest(array['SELECT','INSERT','UPDATE','DELETE','TRUNCATE','TRIGGER']) p"
    asked = " union all ".join(
        [may.format(f"'{table}'") + f" where has_table_privilege('app_rows', '{table}', p)" for table in ("old", "new")]
        + [f"select '{name}', has_sequence_privilege('app_rows', '{name}_id_seq', 'USAGE')::text" for name in ("old", "new")]
    )
    script = f"""{ASK} "{before}" scratch && for twice in 1 2; do
    setpriv --reuid postgres --clear-groups psql --quiet --dbname scratch --file /etc/postgresql/rights.sql || exit 1; done
    {ASK} "{after}" scratch && {ASK} "{asked}" scratch"""
    code, said = host.run(script)
    assert code == 0, said
    rows = "DELETE,INSERT,SELECT,UPDATE"
    assert said.split()[-4:] == [f"old|{rows}", f"new|{rows}", "old|true", "new|true"]
    assert postgresql("select has_database_privilege('public', 'scratch', 'CONNECT')") == "f"
    assert postgresql("select has_database_privilege('app_rows', 'scratch', 'TEMP')") == "f"


def test_redis_starts_with_its_settings(redis):
    assert redis("ping") == "PONG"


def test_redis_lets_the_application_do_what_channels_needs(redis):
    assert redis("publish laurel__group__room hello") == "0"


@pytest.mark.parametrize(
    "command", ["get key", "set key value", "eval 'return 1' 0", "config get dir", "flushall", "acl list", "keys '*'", "info"]
)
def test_redis_lets_the_application_do_nothing_else(redis, command):
    assert "NOPERM" in redis(command)


def test_redis_answers_nobody_without_a_password(redis):
    assert "NOAUTH" in redis("ping", known=False)
    assert "WRONGPASS" in redis("--user channels --pass wrong --no-auth-warning ping", known=False)


def test_redis_keeps_a_hash_of_the_password_only(files, workshop):
    password = (workshop / "secrets/redis_password").read_text().strip()
    users = files["data"]["ansible/roles/redis/templates/users.acl"]
    assert f"#{hashlib.sha256(password.encode()).hexdigest()} " in users
    assert password not in users


@pytest.mark.parametrize(
    ("command", "allowed"), [("info", True), ("ping", True), ("config get dir", False), ("publish a b", False), ("get a", False)]
)
def test_redis_lets_who_watches_look_and_nothing_else(redis, host, workshop, command, allowed):
    password = (workshop / "secrets/watcher_password").read_text().strip()
    said = host.run(f"REDISCLI_AUTH={password} redis-cli --user watcher {command}")[1]
    assert said.startswith("NOPERM") != allowed
    assert not said.startswith("WRONGPASS")
