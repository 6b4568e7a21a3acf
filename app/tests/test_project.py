import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client

APP = Path(__file__).resolve().parent.parent
SECRET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
SERVICES = {"DATABASE_URL": "postgresql://u:hidden@127.0.0.1:9/d", "REDIS_URL": "redis://127.0.0.1:9/0"}
PRODUCTION = {"SECRET_KEY": SECRET, "ALLOWED_HOSTS": "edge.test", **SERVICES}


def manage(*arguments, **variables):
    """Run manage.py in an environment that holds `variables` and nothing else of ours."""
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **variables}
    command = [sys.executable, "-W", "error", "manage.py", *arguments]
    return subprocess.run(command, cwd=APP, env=environment, capture_output=True, text=True, timeout=60)


def test_the_deployment_check_is_silent_with_production_settings():
    done = manage("check", "--deploy", "--fail-level", "DEBUG", **PRODUCTION)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no issues (2 silenced)" in done.stdout


def test_the_deployment_check_is_silent_with_hsts_too():
    done = manage("check", "--deploy", "--fail-level", "DEBUG", HSTS_SECONDS="31536000", **PRODUCTION)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.django_db
def test_the_models_have_their_migrations():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_missing_variables_are_named_with_their_meaning_in_one_line_each():
    done = manage("migrate")
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert [line.split(" ")[0] for line in lines] == ["SECRET_KEY", "DATABASE_URL", "REDIS_URL"]
    assert all("Example:" in line for line in lines)


@pytest.mark.parametrize(
    ("name", "value"),
    [("DEBUG", "yes"), ("CHANNEL_LAYER", "nats"), ("HSTS_SECONDS", "long"), ("DATABASE_URL", "mysql://u:hidden@h/d")],
)
def test_a_variable_that_cannot_be_read_is_named_in_one_line_without_secrets(name, value):
    done = manage("check", **PRODUCTION | {name: value})
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert name in done.stderr and "hidden" not in done.stderr


@pytest.mark.parametrize("layer", ["core", "pubsub", "memory"])
def test_every_channel_layer_can_be_chosen(layer):
    code = "from channels.layers import get_channel_layer; print(type(get_channel_layer()).__name__)"
    done = manage("shell", "--no-imports", "-c", code, CHANNEL_LAYER=layer, **PRODUCTION)
    names = {"core": "RedisChannelLayer", "pubsub": "RedisPubSubChannelLayer", "memory": "InMemoryChannelLayer"}
    assert done.stdout.strip() == names[layer], done.stderr


def test_static_files_are_collected_with_hashed_names_and_nothing_but_a_secret_key(tmp_path):
    done = manage("collectstatic", "--noinput", SECRET_KEY="dummy", STATIC_ROOT=str(tmp_path))
    assert done.returncode == 0, done.stderr
    names = json.loads((tmp_path / "staticfiles.json").read_text())["paths"]
    assert names["laurel.css"] != "laurel.css" and (tmp_path / names["laurel.css"]).exists()
    # A module imports another by its hashed name, or a new release would mix with an old one in a cache.
    assert names["feed.js"] in (tmp_path / names["room.js"]).read_text()


def test_new_passwords_are_hashed_with_argon2():
    from project import settings as production

    code = "from django.conf import settings; print(settings.PASSWORD_HASHERS[0])"
    assert "Argon2" in manage("shell", "--no-imports", "-c", code, **PRODUCTION).stdout
    assert production.SECURE_PROXY_SSL_HEADER == ("HTTP_X_FORWARDED_PROTO", "https")


@pytest.mark.django_db
def test_demo_users_are_made_once_and_their_sessions_log_in(monkeypatch):
    monkeypatch.setenv("DEMO_PASSWORD", "a-long-password")
    for _ in range(2):
        out = StringIO()
        call_command("demo_users", count=3, sessions=True, stdout=out)
    printed = json.loads(out.getvalue())
    assert printed["cookie"] == settings.SESSION_COOKIE_NAME
    assert [entry["user"] for entry in printed["sessions"]] == ["load-0001", "load-0002", "load-0003"]
    assert get_user_model().objects.count() == 3
    client = Client()
    client.cookies[printed["cookie"]] = printed["sessions"][1]["session"]
    assert client.get(f"/rooms/{printed['room']}/", secure=True).status_code == 200
    assert Client().login(username="load-0003", password="a-long-password")


@pytest.mark.django_db
def test_demo_users_without_a_password_cannot_log_in_with_one(monkeypatch):
    monkeypatch.delenv("DEMO_PASSWORD", raising=False)
    call_command("demo_users", count=1, stdout=StringIO())
    assert not get_user_model().objects.get().has_usable_password()
