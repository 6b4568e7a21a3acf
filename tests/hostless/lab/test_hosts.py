"""What the lab makes of an inventory."""

from loadtests.lab.hosts import hosts_of

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
