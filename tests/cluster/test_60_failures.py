"""Hosts that go away, and deploys that are killed."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from helpers import until


def answers(deployed, times):
    """The status codes of that many requests, one after another."""
    with deployed.browser() as browser:
        return [browser.get("/workload/json").status_code for _ in range(times)]


def upstreams(deployed):
    """Which app hosts answered lately."""
    with deployed.browser() as browser:
        for _ in range(8):
            browser.get("/workload/json")
    time.sleep(1.5)  # nginx writes its log once a second
    said = deployed.on("edge", "sudo tail -n 8 /var/log/nginx/access.log")[1]
    return {address.rsplit(":", 1)[0] for address in re.findall(r'"upstream":"([\d.:]+)"', said)}


@pytest.fixture
def app1_stopped(deployed):
    subprocess.run(["docker", "stop", "--time", "5", deployed.container("app1")], check=True, capture_output=True)
    yield
    subprocess.run(["docker", "start", deployed.container("app1")], check=True, capture_output=True)


def test_with_one_app_host_gone_every_request_is_answered(deployed, app1_stopped):
    assert answers(deployed, 20) == [200] * 20
    done = deployed.make("status")
    assert done.code != 0
    assert re.search(r"^app1 +does not answer", done.out, re.MULTILINE)


def test_an_app_host_that_comes_back_serves_again_by_itself(deployed):
    both = {deployed.address("app1"), deployed.address("app2")}
    assert until(lambda: upstreams(deployed) == both, 60)


def test_a_restarted_redis_costs_no_request(deployed):
    assert deployed.on("data", "sudo systemctl restart redis-server")[0] == 0
    assert answers(deployed, 10) == [200] * 10
    assert until(lambda: all(said == "200" for said in deployed.status()["health"].values()))


def end_orphans(deployed):
    """Mitogen's multiplexer is a session of its own: it outlives a deploy that is killed."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            ours = f"{deployed.root}/ansible/site.yml".encode() in (process / "cmdline").read_bytes()
        except OSError:
            continue
        if ours:
            os.kill(int(process.name), signal.SIGKILL)


def test_after_a_killed_deploy_and_a_lost_host_the_next_deploy_serves_the_new_release(deployed):
    before = deployed.status()["release"]
    with (deployed.root / "app/project/wsgi.py").open("a") as module:
        module.write("\n# Another release.\n")
    deploy = subprocess.Popen(["make", "deploy"], cwd=deployed.root, stdout=subprocess.PIPE, text=True, start_new_session=True)
    for line in deploy.stdout:
        if "Unpack the code" in line or "Ship the code" in line:
            break
    assert deploy.poll() is None, "the deploy ended before it could be killed"
    os.killpg(deploy.pid, signal.SIGKILL)
    deploy.wait()
    deploy.stdout.close()
    end_orphans(deployed)
    assert answers(deployed, 5) == [200] * 5

    subprocess.run(["docker", "rm", "--force", "--volumes", deployed.container("app2")], check=True, capture_output=True)
    done = deployed.make("deploy")
    assert done.code == 0, done.out[-3000:] + done.err
    status = deployed.status()
    assert status["release"] != before
    assert status["health"] == {"health": "200", "ready": "200"}
    assert upstreams(deployed) == {deployed.address("app1"), deployed.address("app2")}
    with deployed.browser() as browser:
        assert browser.get("/healthz").json()["release"] == status["release"]
