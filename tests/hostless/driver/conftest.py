"""A made-up checkout for the verbs' Python: its folders, and a Docker engine that only remembers."""

import pytest

from cluster import containers, inventory, machines, paths, release, settings

HOSTS = """
laurel:
  children:
    nginx: {hosts: {edge: {cluster_number: 11}}}
    app: {hosts: {app1: {cluster_number: 21}}}
    redis: {hosts: {app1: }}
    locust: {hosts: {load: {cluster_number: 41}}}
"""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """The root of a checkout with an environment `local` of three hosts."""
    folder = tmp_path / "ansible/inventories/local"
    folder.mkdir(parents=True)
    (folder / "hosts.yml").write_text(HOSTS)
    for module in (paths, inventory, machines, release):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(machines, "STATE", tmp_path / ".laurel")
    monkeypatch.setattr(containers, "DEFINITION", tmp_path / ".laurel/containers.json")
    for name in ("ENVIRONMENT", "PROVIDER", "BIND", "REDIS", *settings.PORT_SETTINGS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(inventory, "networks_in_use", dict)
    return tmp_path


@pytest.fixture
def settle(checkout, monkeypatch):
    """Settle the cluster with settings: settle(HTTP_PORT="9080")."""

    def settle(**asked):
        with monkeypatch.context() as scope:
            for name, value in asked.items():
                scope.setenv(name, value)
            return inventory.keep(inventory.choose(settings.read()))

    return settle
