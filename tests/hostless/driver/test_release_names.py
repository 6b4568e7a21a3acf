"""How a release gets its name: from everything that goes into it, and nothing else."""

import json

import pytest

from cluster import image, release
from cluster.console import Failure

VALUES = {
    "application_source": "shop",
    "application_requirements": "requirements.txt",
    "application_settings_module": "shop.settings",
    "application_build_environment": {"SECRET_KEY": "none"},
    "servers": {"uwsgi": {}, "daphne": {}},
}


@pytest.fixture
def source(checkout, monkeypatch):
    monkeypatch.setattr(image, "builder_tag", lambda: "laurel-builder:1")
    for name, text in {"shop/requirements.txt": "a==1", "shop/shop.py": "one", "uwsgi/requirements.txt": "uwsgi==1"}.items():
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text(text)
    return checkout / "shop"


def identify(**changes):
    return release.identify(release.application_plan(VALUES | changes))


def test_the_same_files_make_the_same_release(source):
    assert (identify().release, identify().wheels) == (identify().release, identify().wheels)


def test_another_line_of_code_makes_another_release_of_the_same_wheels(source):
    before = identify()
    (source / "shop.py").write_text("two")
    assert identify().release != before.release
    assert identify().wheels == before.wheels


def test_another_lock_makes_another_release_of_other_wheels(source):
    before = identify()
    (source / "requirements.txt").write_text("a==2")
    assert identify().release != before.release
    assert identify().wheels != before.wheels


def test_another_name_of_a_file_makes_another_release(source):
    before = identify()
    (source / "shop.py").rename(source / "store.py")
    assert identify().release != before.release


def test_another_builder_makes_other_wheels(source, monkeypatch):
    before = identify()
    monkeypatch.setattr(image, "builder_tag", lambda: "laurel-builder:2")
    assert identify().wheels != before.wheels


def test_other_settings_make_another_release(source):
    assert identify(application_settings_module="shop.other").release != identify().release
    assert identify(application_build_environment={}).release != identify().release


NOT_SHIPPED = ["__pycache__/shop.cpython-311.pyc", ".pytest_cache/x", "shop.pyc", "staticfiles/x.css", "tests/test_shop.py"]


@pytest.mark.parametrize("name", NOT_SHIPPED)
def test_what_is_not_shipped_changes_nothing(source, name):
    before = identify()
    (source / name).parent.mkdir(exist_ok=True)
    (source / name).write_text("x")
    assert identify().release == before.release


def test_where_the_checkout_lies_changes_nothing(source, checkout, monkeypatch):
    before = identify()
    elsewhere = checkout / ".venv" / "checkout"
    elsewhere.mkdir(parents=True)
    for name in ("shop", "uwsgi"):
        (checkout / name).rename(elsewhere / name)
    monkeypatch.setattr(release, "ROOT", elsewhere)
    assert identify().release == before.release


def test_the_wheels_of_the_servers_come_with_those_of_the_application(source):
    assert identify().requirements == ["shop/requirements.txt", "uwsgi/requirements.txt"]


@pytest.mark.parametrize(
    ("setting", "value", "missing"), [("application_source", "nowhere", "nowhere"), ("application_requirements", "no.txt", "shop/no.txt")]
)
def test_a_source_that_is_missing_is_named_with_its_setting(source, setting, value, missing):
    with pytest.raises(Failure, match=f"{setting} is '{missing}'"):
        identify(**{setting: value})


def test_the_builder_is_told_of_an_index_by_name_only(source, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:password@index.example/simple")
    command = release.builder_command("laurel-builder:1", identify())
    assert command[command.index("PIP_INDEX_URL") - 1] == "--env"
    assert "password" not in " ".join(command)


def test_the_builder_may_not_write_to_the_source(source, checkout):
    command = release.builder_command("laurel-builder:1", identify())
    assert f"{checkout}:/source:ro" in command
    assert json.loads(next(word for word in command if word.startswith("PLAN=")).removeprefix("PLAN="))["name"] == "app"


def test_an_image_is_named_by_what_it_is_made_from(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM x")
    before = image.digest(tmp_path)
    assert image.digest(tmp_path) == before
    assert image.digest(tmp_path, extra="more") != before
    (tmp_path / "Dockerfile").rename(tmp_path / "Dockerfile.old")
    assert image.digest(tmp_path) != before
