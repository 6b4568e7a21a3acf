"""Deploy, deploy again, and look before you deploy."""

import re

import pytest

from helpers import changes

HOSTS = {"edge", "app1", "app2", "data", "load"}
SETTINGS = "ansible/group_vars/all/sizes.yml"


@pytest.fixture(scope="module")
def again(deployed):
    return deployed.make("deploy")


@pytest.fixture
def smaller_body(deployed):
    """Somebody changed a setting and has not deployed it."""
    path = deployed.root / SETTINGS
    before = path.read_text()
    path.write_text(before.replace("client_max_body: 8m", "client_max_body: 7m"))
    assert path.read_text() != before
    yield
    path.write_text(before)


def test_the_first_deploy_ends_with_where_to_look(deployed, first_deploy):
    assert re.search(r"^Deployed release [0-9a-f]{12} to local in \d+ s\.$", first_deploy.out, re.MULTILINE)
    assert f"  {deployed.url}/ " in first_deploy.out
    assert "Next: make status" in first_deploy.out


def test_a_second_deploy_changes_nothing(again):
    assert again.code == 0, again.err
    assert changes(again.out) == dict.fromkeys(HOSTS, 0)


def test_a_second_deploy_is_quick(again):
    assert again.seconds < 120  # 60 s on an idle machine


def test_every_host_is_up_and_the_application_healthy(deployed):
    status = deployed.status()
    assert status["health"] == {"health": "200", "ready": "200"}
    assert status["topology"] == "mixed"
    assert {name: about["reachable"] for name, about in status["hosts"].items()} == dict.fromkeys(HOSTS, True)
    assert {about["release"] for name, about in status["hosts"].items() if name.startswith("app")} == {status["release"]}


def test_the_status_is_readable_too(deployed):
    done = deployed.make("status")
    assert done.code == 0
    units = ["daphne@1", "daphne@2", "mqtt", "uwsgi", "worker-sweep", "worker-thumbnails"]
    assert re.search(r"^app1 +up +" + "  ".join(f"{unit} active" for unit in units) + "$", done.out, re.MULTILINE)


def test_a_dry_run_on_a_deployed_host_shows_no_change(deployed):
    done = deployed.play("--check", "--diff")
    assert done.code == 0, done.out[-3000:] + done.err
    assert changes(done.out) == dict.fromkeys(HOSTS, 0)
    assert "+++" not in done.out


def test_a_dry_run_shows_what_would_change_and_changes_nothing(deployed, smaller_body):
    done = deployed.play("--check", "--diff", "--tags", "nginx")
    assert done.code == 0, done.out[-3000:] + done.err
    assert re.search(r"^-\s*client_max_body_size 8m;$", done.out, re.MULTILINE)
    assert re.search(r"^\+\s*client_max_body_size 7m;$", done.out, re.MULTILINE)
    assert changes(done.out)["edge"] > 0
    code, said = deployed.on("edge", "sudo grep -rh client_max_body_size /etc/laurel")
    assert (code, set(re.findall(r"client_max_body_size (\w+);", said))) == (0, {"8m"})


def test_git_sees_nothing_of_it(deployed, first_deploy):
    assert deployed.git_status() == first_deploy.git_before
