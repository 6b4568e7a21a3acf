"""What a person types, and what is said where it is wrong."""

import pytest

from cluster import remote, settings, status
from cluster.console import Failure


def test_without_settings_there_is_the_local_cluster_in_docker(checkout):
    assert settings.read() == settings.Settings("local", "docker", "127.0.0.1", {})


def test_an_empty_setting_is_none(checkout, monkeypatch):
    monkeypatch.setenv("HTTP_PORT", "")
    monkeypatch.setenv("PROVIDER", "")
    assert settings.read().ports == {}


@pytest.mark.parametrize("value", ["abc", "80", "65536", "-1", "8080 ", "8080.5", "٨٠٨٠", "²"])
def test_a_port_that_is_none_is_refused_with_its_name(checkout, monkeypatch, value):
    monkeypatch.setenv("HTTPS_PORT", value)
    with pytest.raises(Failure, match=rf"HTTPS_PORT is '{value}'; expected a port from 1024 to 65535, as in: make deploy HTTPS_PORT=8443"):
        settings.read()


@pytest.mark.parametrize("value", ["nowhere", "..", "../inventories/local", "local/"])
def test_an_environment_that_does_not_exist_is_refused_with_those_that_do(checkout, monkeypatch, value):
    monkeypatch.setenv("ENVIRONMENT", value)
    with pytest.raises(Failure, match=r"there is no environment .*; there are: local"):
        settings.read()


def test_a_provider_that_does_not_exist_is_refused_with_those_that_do(checkout, monkeypatch):
    monkeypatch.setenv("PROVIDER", "vmware")
    with pytest.raises(Failure, match="PROVIDER is 'vmware'; expected one of docker, libvirt, virtualbox"):
        settings.read()


def test_a_host_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(Failure, match="HOST is 'nobody'; expected one of edge, app1, as in: make ssh HOST=edge"):
        remote.require_host("local", "nobody", ["edge", "app1"])


def test_a_form_of_the_status_that_does_not_exist_is_refused():
    with pytest.raises(Failure, match="FORMAT is 'xml'; expected one of text, json"):
        status.show("local", "xml")


@pytest.mark.parametrize(
    ("health", "reachable", "expected"),
    [("200", True, True), ("503 database", True, False), ("200", False, False)],
)
def test_the_cluster_is_healthy_if_it_answers_and_every_host_is_there(health, reachable, expected):
    assert status.healthy({"health": {"ready": health}, "hosts": {"edge": {"reachable": reachable}}}) is expected
