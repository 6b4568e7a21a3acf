"""New secrets for old ones: at no step is one lost, and a run that was killed is gone on with."""

import pytest

from cluster import passwords, settings
from cluster.console import Failure

SECRETS = {"application_secret_key": "k" * 64, "database_password": "d" * 40, "redis_password": "r" * 40, "mqtt_sensor": "s" * 40}


@pytest.fixture
def folder(checkout, monkeypatch):
    monkeypatch.setattr(passwords, "ROOT", checkout)
    for name in ("SECRET", "LEAKED"):
        monkeypatch.delenv(name, raising=False)
    folder = passwords.folder_of("local")
    folder.mkdir(parents=True)
    for name, text in {**SECRETS, "demo_password": "p" * 24}.items():
        (folder / name).write_text(f"{text}\n")
    return folder


def now(folder):
    return {path.name: path.read_text().strip() for path in folder.iterdir()}


def test_the_usual_ones_are_replaced_and_nobody_is_logged_out(folder):
    passwords.rotate(settings.read(), lambda chosen: None)
    after = now(folder)
    assert {name for name, text in SECRETS.items() if after[name] != text} == {"database_password", "redis_password"}
    assert set(after) == {*SECRETS, "demo_password"}


def test_what_the_former_key_signed_still_counts(folder, monkeypatch):
    monkeypatch.setenv("SECRET", "application_secret_key database_password redis_password")
    seen = {}
    passwords.rotate(settings.read(), lambda chosen: seen.update(now(folder)))
    # While the hosts are brought to it, old and new lie side by side.
    assert seen["redis_password.before"] == SECRETS["redis_password"]
    after = now(folder)
    assert set(after) == {*SECRETS, "demo_password", "application_secret_key.before"}
    for name in ("application_secret_key", "database_password", "redis_password"):
        assert after[name] != SECRETS[name]
        assert len(after[name]) == len(SECRETS[name]) and after[name].isalnum()
    assert after["application_secret_key.before"] == SECRETS["application_secret_key"]
    assert (after["mqtt_sensor"], after["demo_password"]) == (SECRETS["mqtt_sensor"], "p" * 24)
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir() if ".before" in path.name} == {"0o600"}


def test_a_key_that_leaked_counts_no_more(folder, monkeypatch):
    monkeypatch.setenv("LEAKED", "1")
    seen = {}
    passwords.rotate(settings.read(), lambda chosen: seen.update(now(folder)))
    assert "application_secret_key.before" not in seen
    assert "application_secret_key.before" not in now(folder)


def test_one_alone_can_be_named(folder, monkeypatch):
    monkeypatch.setenv("SECRET", "mqtt_sensor")
    passwords.rotate(settings.read(), lambda chosen: None)
    assert {name for name, text in SECRETS.items() if now(folder)[name] != text} == {"mqtt_sensor"}


def test_a_name_that_is_none_lists_those_that_are(folder, monkeypatch):
    monkeypatch.setenv("SECRET", "pin")
    expected = "SECRET is 'pin'; expected one of application_secret_key, database_password, mqtt_sensor, redis_password"
    with pytest.raises(Failure, match=expected):
        passwords.rotate(settings.read(), lambda chosen: None)
    assert set(now(folder)) == {*SECRETS, "demo_password"}


def test_a_rotation_that_was_killed_is_gone_on_with_and_replaces_nothing_twice(folder, monkeypatch):
    def killed(chosen):
        raise KeyboardInterrupt

    monkeypatch.setenv("SECRET", "redis_password")
    with pytest.raises(KeyboardInterrupt):
        passwords.rotate(settings.read(), killed)
    half = now(folder)["redis_password"]
    monkeypatch.setenv("SECRET", "database_password")
    passwords.rotate(settings.read(), lambda chosen: None)
    after = now(folder)
    assert after["redis_password"] == half != SECRETS["redis_password"]
    assert after["database_password"] == SECRETS["database_password"]
    assert set(after) == {*SECRETS, "demo_password"}
