"""Which network, addresses and ports a checkout gets."""

import ipaddress

import pytest

from cluster import inventory
from cluster.console import Failure

PORTS = {"HTTP_PORT": 8080, "HTTPS_PORT": 8443, "LOCUST_PORT": 8089}


def test_a_checkout_gets_its_usual_ports_and_an_address_a_host(settle):
    cluster = settle()
    assert cluster.ports == PORTS
    assert list(cluster.hosts) == ["edge", "app1", "load"]
    assert [address.rsplit(".", 1)[1] for address in cluster.hosts.values()] == ["11", "21", "41"]
    assert cluster.container("edge") == f"{cluster.name}-edge"


def test_what_was_chosen_once_is_kept(settle):
    assert settle(HTTP_PORT="9080").ports == {**PORTS, "HTTP_PORT": 9080}
    assert settle().ports == {**PORTS, "HTTP_PORT": 9080}
    assert settle(HTTP_PORT="9081", LOCUST_PORT="9089").ports == {**PORTS, "HTTP_PORT": 9081, "LOCUST_PORT": 9089}


def test_one_port_for_two_settings_is_refused(settle):
    with pytest.raises(Failure, match="two settings name the same port: HTTP_PORT=8443, HTTPS_PORT=8443"):
        settle(HTTP_PORT="8443")


def test_what_was_written_is_read_again(settle):
    written = settle(HTTP_PORT="9080")
    assert inventory.load() == written


def test_a_copied_checkout_does_not_take_the_clusters_of_the_original(settle, monkeypatch, tmp_path):
    original = settle()
    monkeypatch.setattr(inventory, "ROOT", tmp_path / "copy")
    assert inventory.load() is None
    assert inventory.checkout_name() != original.name


@pytest.mark.parametrize("text", ["", "laurel:\n  vars:\n", "laurel: {vars: {cluster_name: x}, hosts: {}}", "{{{"])
def test_a_file_cut_short_by_a_killed_run_is_written_anew(settle, checkout, text):
    whole = settle()
    (checkout / "ansible/inventories/local/addresses.yml").write_text(text)
    assert inventory.load() is None
    assert settle() == whole


def test_networks_are_those_set_aside_for_benchmarks():
    assert len(set(inventory.NETWORKS)) == 255
    assert all(ipaddress.ip_network(network).subnet_of(inventory.POOL) for network in inventory.NETWORKS)
    assert "198.18.0.0/24" not in inventory.NETWORKS, "the engine's own bridge"


def test_the_network_of_an_earlier_run_is_used_again(monkeypatch):
    monkeypatch.setattr(inventory, "networks_in_use", lambda: {"198.18.9.0/24": "laurel-abcdef"})
    assert inventory.choose_network("laurel-abcdef") == "198.18.9.0/24"


def test_two_checkouts_never_share_a_network(monkeypatch):
    used = {}
    monkeypatch.setattr(inventory, "networks_in_use", lambda: used)
    for number in range(len(inventory.NETWORKS)):
        network = inventory.choose_network(f"laurel-{number}")
        assert network not in used
        used[network] = f"laurel-{number}"
    with pytest.raises(Failure, match="`docker network prune` frees"):
        inventory.choose_network("laurel-one-too-many")


@pytest.mark.parametrize("text", ["", "hosts: []", "laurel: {children: {app: }}", "laurel: [", "laurel: {children: {app: {hosts: {a b: {}"])
def test_an_inventory_of_another_form_is_named(checkout, text):
    folder = checkout / "ansible/inventories/local"
    (folder / "hosts.yml").write_text(text)
    with pytest.raises(Failure, match=r"hosts\.yml is not an inventory of the form"):
        inventory.hosts_by_group(folder)
