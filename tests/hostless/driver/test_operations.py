"""Which release a rollback goes to, and what it refuses."""

import pytest

from cluster import operations, settings
from cluster.console import Failure


def about(release, **known):
    return {"release": release, "current": False, "staged_at": 0, **known}


KNOWN = {
    "app1": [
        about("now", current=True, good_at=50),
        about("broken", bad_at=45, why="it cannot start"),
        about("turned", good_at=40, bad_at=60, why="it lost its mind"),
        about("last", good_at=30),
        about("older", good_at=20),
        about("staged"),
    ],
    "app2": [
        about("now", current=True, good_at=51),
        about("turned", good_at=41),
        about("last", good_at=31),
        about("older", good_at=21),
        about("broken"),
    ],
}


def test_a_rollback_goes_to_the_last_good_release_that_every_host_has():
    assert operations.choose(KNOWN, "") == "last"
    assert operations.choose({"app1": KNOWN["app1"], "app2": [about("now", current=True), about("older")]}, "") == "older"


def test_a_release_that_is_bad_on_one_host_is_refused_with_its_reason():
    with pytest.raises(Failure, match=r"turned is known to be bad \(it lost its mind\); good ones: last, older"):
        operations.choose(KNOWN, "turned")


def test_a_release_that_a_host_does_not_have_is_refused():
    with pytest.raises(Failure, match="RELEASE is 'staged'; on every app host there are: broken, last, now, older, turned"):
        operations.choose(KNOWN, "staged")


def test_a_named_release_is_taken():
    assert operations.choose(KNOWN, "older") == "older"


def test_without_another_good_release_there_is_no_way_back():
    with pytest.raises(Failure, match="no other good release"):
        operations.choose({"app1": [about("now", current=True, good_at=1)]}, "")


def test_a_plan_of_hosts_that_are_not_there_is_refused(checkout, monkeypatch):
    monkeypatch.setenv("REDIS", "ha")
    with pytest.raises(Failure, match="make deploy REDIS=ha"):
        operations.plan(settings.read())
