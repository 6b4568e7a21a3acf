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
LIMITS = read("limits")["limits"]
TOPOLOGIES, FLOWS = read("topologies"), read("flows")["flows"]

CHAINS = yaml.safe_load((ROOT / "ansible/roles/validate/defaults/main.yml").read_text())["validate_timeout_chains"]
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


def bytes_of(text):
    return int(text.rstrip("km")) * {"k": 1024, "m": 1024**2}[text[-1]]


def test_headers_that_nginx_takes_fit_into_uwsgis_buffer():
    """uWSGI answers what does not fit with nothing, and nginx then with 502; it adds some 2 KiB of its own variables."""
    taken = LIMITS["header_lines"] * bytes_of(LIMITS["header_line_long"]) + bytes_of(LIMITS["header_line"])
    assert taken + 2048 <= SIZES["uwsgi_buffer_bytes"]


def test_a_page_and_a_reconnect_storm_of_one_office_pass():
    people, files_of_a_page = 50, 15
    assert LIMITS["requests_burst"] >= people * files_of_a_page
    assert LIMITS["handshakes_burst"] >= 500
    assert LIMITS["connections_per_address"] >= LIMITS["handshakes_burst"]
