"""What the lab makes of an inventory."""

import pytest

from loadtests.lab.errors import LabError
from loadtests.lab.hosts import Host, Hosts, hosts_of

LISTED = {
    "_meta": {
        "hostvars": {
            "edge": {"ansible_host": "198.18.0.11", "cluster_provider": "docker"},
            "load": {"ansible_host": "198.18.0.41", "cluster_provider": "docker"},
            "not-a-host": {"cluster_provider": "docker"},
        }
    },
    "all": {"children": ["ungrouped", "laurel"]},
    "nginx": {"hosts": ["edge"]},
    "locust": {"hosts": ["load"]},
    "ungrouped": {"hosts": ["not-a-host"]},
}


def test_hosts_have_their_groups_and_variables():
    hosts = {host.name: host for host in hosts_of(LISTED)}
    assert hosts["edge"].groups == {"nginx"}
    assert hosts["load"].variables["cluster_provider"] == "docker"


def test_a_name_without_an_address_is_no_host():
    assert "not-a-host" not in {host.name for host in hosts_of(LISTED)}


class Commands(Hosts):
    """Notes the commands that would go to hosts."""

    def __init__(self, *loads):
        self.all = [Host(name, {"ansible_host": f"198.18.0.{41 + i}"}, {"locust"}) for i, name in enumerate(loads)]
        self.all.append(Host("edge", {"ansible_host": "198.18.0.11"}, {"nginx"}))
        self.started, self.ran = [], []

    def start(self, host, command):
        self.started.append((host.name, command))

    def run(self, host, command, **_):
        self.ran.append((host.name, command))
        return ""


ARGUMENTS = ["-f", "loadtests/scenarios/pages.py", "--host", "https://here", "--headless", "-u", "4"]


def test_one_load_host_runs_locust_alone():
    hosts = Commands("load")
    hosts.start_load(ARGUMENTS)
    ((name, command),) = hosts.started
    assert name == "load" and "--master" not in command and command.endswith("-u 4")
    assert hosts.ran == []


def test_several_load_hosts_have_a_leader_and_a_worker_each():
    hosts = Commands("load", "load2")
    assert [host.name for host in hosts.serving] == ["edge"]
    hosts.start_load(ARGUMENTS)
    ((leader, command),) = hosts.started
    assert leader == "load" and command.endswith("-u 4 --master --expect-workers 2")
    assert {name for name, _ in hosts.ran} == {"load", "load2"}
    for _, command in hosts.ran:
        assert "--host https://here --worker --master-host 198.18.0.41" in command and "--headless" not in command
        assert command.endswith("< /dev/null &")  # SSH would wait for it otherwise


@pytest.mark.parametrize("loads", [("load",), ("load", "load2")])
def test_what_users_read_and_what_ends_them_reaches_every_load_host(loads):
    hosts = Commands(*loads)
    hosts.put_on_load("/tmp/sessions", "{}")
    hosts.stop_load()
    assert sorted(name for name, _ in hosts.ran) == sorted([*loads, *loads])


def test_a_worker_that_cannot_be_started_leaves_no_leader(monkeypatch):
    hosts, killed = Commands("load", "load2"), []

    class Leader:
        def kill(self):
            killed.append("here")

    def fail_on_the_second(host, command, **_):
        if host.name == "load2":
            raise LabError("load2 can't be reached")
        killed.append(command) if "kill" in command else None
        return ""

    monkeypatch.setattr(hosts, "start", lambda *_: Leader())
    monkeypatch.setattr(hosts, "run", fail_on_the_second)
    with pytest.raises(LabError, match="load2"):
        hosts.start_load(ARGUMENTS)
    assert killed == ["here", "kill $(cat /tmp/laurel-lab-lead.pid) 2>/dev/null; true"]
