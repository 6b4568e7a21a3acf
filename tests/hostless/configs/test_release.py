"""What the release role writes beside the code."""

import hashlib

import pytest


def environment(said):
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def test_sh_reads_the_environment_as_it_was_meant(host, variant, files):
    code, said = host.run("env -i sh -c 'set -a; . /etc/app/environment; env'", variant, "app1")
    assert code == 0, said
    meant = {
        name: value.strip('"')
        for name, value in environment(files["app1"]["ansible/roles/release/templates/environment"]).items()
        if not name.startswith("#")
    }
    assert meant.items() <= environment(said).items()


def test_the_demo_gets_what_its_contract_names(rendered, workshop):
    found = environment(rendered["mixed"]["app1"]["ansible/roles/release/templates/environment"])
    password = (workshop / "secrets/database_password").read_text().strip()
    assert (
        found["DATABASE_URL"] == f'"postgresql://app_{hashlib.sha256(password.encode()).hexdigest()[:8]}:{password}@198.18.250.31:5432/app"'
    )
    assert found["REDIS_URL"].endswith('@198.18.250.31:6379/0"')
    assert found["ALLOWED_HOSTS"] == '"localhost,edge,198.18.250.11,wsgi.laurel.test,asgi.laurel.test,mixed.laurel.test"'
    assert '"https://localhost:8443,https://edge:8443,' in found["CSRF_TRUSTED_ORIGINS"]
    assert found["DJANGO_SETTINGS_MODULE"] == '"project.settings"'


def test_another_application_gets_its_own_variables_and_none_of_the_demos(rendered):
    found = environment(rendered["foreign"]["app1"]["ansible/roles/release/templates/environment"])
    assert found["DJANGO_SECRET"] == '"s3cret"'
    assert "DATABASE_URL" not in found


def test_migrations_log_in_as_somebody_else(rendered, workshop):
    passwords = {name: (workshop / f"secrets/{name}").read_text().strip() for name in ("database_password", "database_owner_password")}
    files = rendered["mixed"]["app1"]
    owner = environment(files["ansible/roles/release/templates/environment.owner"])["DATABASE_URL"]
    digest = hashlib.sha256(passwords["database_owner_password"].encode()).hexdigest()[:8]
    assert owner == f'"postgresql://app_owner_{digest}:{passwords["database_owner_password"]}@198.18.250.31:5432/app"'
    told = [name for name, text in files.items() if passwords["database_owner_password"] in text]
    assert told == ["ansible/roles/release/templates/environment.owner"]
    foreign = rendered["foreign"]["app1"]["ansible/roles/release/templates/environment.owner"]
    assert environment(foreign) == {"DB_USER": '"owner"'}


@pytest.mark.parametrize(("name", "script"), [("app1", "/usr/local/bin/app-manage"), ("app1", "/usr/local/sbin/unit-is-stale")])
def test_the_scripts_are_sh(host, variant, name, script):
    code, said = host.run(f"sh -n {script}", variant, name)
    assert code == 0, said
