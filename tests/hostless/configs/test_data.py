"""The data that everybody reads: ansible/group_vars/all."""

import itertools

import pytest
import yaml

from cluster.inventory import cluster_numbers, hosts_by_group
from cluster.paths import ROOT

DATA = ROOT / "ansible" / "group_vars" / "all"


def read(name):
    return yaml.safe_load((DATA / f"{name}.yml").read_text())


TIMEOUTS, SIZES, SERVERS = read("timeouts")["timeouts"], read("sizes")["sizes"], read("servers")["servers"]
TOPOLOGIES, FLOWS = read("topologies"), read("flows")["flows"]

CHAINS = {
    "a request": [
        "database_connect", "database_statement", "application", "uwsgi_harakiri_graceful", "uwsgi_harakiri", "nginx_read", "client",
    ],
    "Redis within the application": ["redis", "application"],
    "a host that is down": ["nginx_connect", "nginx_read"],
    "a silent WebSocket": ["websocket_ping", "websocket_ping_timeout", "websocket_proxy_read"],
    "a stop": ["daphne_drain", "unit_stop", "nginx_worker_shutdown"],
    "a reload": ["uwsgi_worker_reload_mercy", "unit_stop"],
    "a successor": ["daphne_handover", "unit_start"],
    "a consumer's end": ["daphne_application_close", "daphne_drain"],
    "idle connections to Daphne": ["nginx_fail", "nginx_keepalive_upstream"],
}  # fmt: skip
PAIRS = [(why, inner, outer) for why, chain in CHAINS.items() for inner, outer in itertools.pairwise(chain)]


@pytest.mark.parametrize(("why", "inner", "outer"), PAIRS)
def test_the_inner_timeout_ends_first(why, inner, outer):
    assert TIMEOUTS[inner] < TIMEOUTS[outer], why


def test_a_drain_and_its_grace_end_before_systemd_kills():
    assert TIMEOUTS["daphne_drain"] + TIMEOUTS["daphne_drain_grace"] + TIMEOUTS["daphne_application_close"] < TIMEOUTS["unit_stop"]


def test_a_live_socket_is_pinged_twice_before_nginx_calls_it_silent():
    assert 2 * TIMEOUTS["websocket_ping"] < TIMEOUTS["websocket_proxy_read"]


def test_a_group_remembers_a_socket_as_long_as_it_can_live():
    assert TIMEOUTS["group_expiry"] >= TIMEOUTS["socket_lifetime"]


def test_every_timeout_is_a_positive_number_of_seconds():
    assert all(isinstance(value, int) and value > 0 for value in TIMEOUTS.values())


def test_the_backlog_is_one_that_the_kernel_gives():
    assert SIZES["listen_backlog"] <= 4096


def test_open_files_stay_below_what_a_container_may_have():
    assert SIZES["open_files"] <= 20_000


def test_a_worker_of_nginx_may_open_what_its_connections_need():
    # Two descriptors a connection: the client's and the upstream's.
    assert 2 * SIZES["nginx_worker_connections"] <= SIZES["open_files"]


def test_the_headers_fit_into_what_uwsgi_reads():
    assert 8192 <= SIZES["uwsgi_buffer_bytes"] <= 65_535


def test_workers_are_not_all_replaced_at_once():
    assert 0 < SIZES["uwsgi_max_requests_delta"] < SIZES["uwsgi_max_requests"]


def test_the_database_has_a_connection_for_every_process():
    processes = 2 * (SIZES["uwsgi_processes"] + SIZES["daphne_instances"])
    assert processes < SIZES["postgresql_max_connections"]


@pytest.mark.parametrize("name", TOPOLOGIES["topologies"])
def test_a_topology_names_servers_that_exist(name):
    served = TOPOLOGIES["topologies"][name]
    assert set(served) == {"http", "websocket"}
    assert served["http"] in SERVERS
    assert served["websocket"] in {*SERVERS, "none"}
    # A WebSocket is HTTP until it is upgraded.
    assert served["websocket"] == "none" or SERVERS[served["websocket"]]["protocol"] == "http"


def test_the_default_topology_exists():
    assert TOPOLOGIES["topology"] in TOPOLOGIES["topologies"]


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_has_a_folder_a_role_and_a_way_in(name):
    assert list((ROOT / name).glob("*.service.j2"))
    assert (ROOT / "ansible/roles" / name / "tasks/main.yml").is_file()
    assert (ROOT / "nginx/snippets" / f"{SERVERS[name]['protocol']}.conf.j2").is_file()


def test_a_flow_names_groups_that_exist_and_says_why():
    groups = {*hosts_by_group(ROOT / "ansible/inventories/local"), "laurel"}
    for flow in FLOWS:
        assert flow["from"] in {*groups, "any"}
        assert flow["to"] in groups
        assert flow["ports"]
        assert flow["why"]


def test_no_two_hosts_have_one_number():
    numbers = cluster_numbers(ROOT / "ansible/inventories/local")
    assert len(set(numbers.values())) == len(numbers) == 5
    assert all(1 < number < 255 for number in numbers.values())
