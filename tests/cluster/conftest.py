"""A cluster that these tests own: the checkout LAUREL_CHECKOUT, on the ports HTTP_PORT, HTTPS_PORT and LOCUST_PORT.

The files are numbered, because what they do to the one cluster has an order: deploy, look, switch, break, measure.
"""

import os
import secrets
import subprocess
from pathlib import Path

import pytest

from helpers import Cluster, User


@pytest.fixture(scope="session")
def cluster():
    root = os.environ.get("LAUREL_CHECKOUT")
    if not root:
        pytest.exit("LAUREL_CHECKOUT names no checkout whose cluster these tests may break; run them with: tests/run cluster", 2)
    return Cluster(Path(root).resolve())


@pytest.fixture(scope="session")
def first_deploy(cluster):
    """The deploy that every test stands on; knows what git saw before it. None where what is deployed is judged as it is (`make audit`)."""
    if os.environ.get("LAUREL_AS_IT_IS"):
        return None
    before = cluster.git_status()
    try:
        done = cluster.make("deploy")
    except subprocess.TimeoutExpired as late:
        pytest.exit(f"the first deploy took more than {late.timeout} s; what it did last: {cluster.root / '.laurel/logs'}", 1)
    done.git_before = before
    if done.code:
        pytest.exit(f"the first deploy failed:\n{done.out[-3000:]}\n{done.err}", 1)
    return done


@pytest.fixture(scope="session")
def deployed(cluster, first_deploy):
    return cluster


@pytest.fixture
def ada(deployed):
    user = User(deployed).sign_up()
    yield user
    user.browser.close()


@pytest.fixture
def grace(deployed):
    user = User(deployed).sign_up()
    yield user
    user.browser.close()


@pytest.fixture(scope="module")
def talker(deployed):
    """Somebody who talks while something is done, for a whole file of tests."""
    user = User(deployed).sign_up()
    yield user
    user.browser.close()


@pytest.fixture(scope="module")
def room(talker):
    """The address of the talker's room."""
    answer = talker.post("/rooms/", name=f"Talk {secrets.token_hex(4)}")
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]
