"""Wrong input: one line that says what is wrong and what to type, code 2, and nothing is changed."""

import shutil
import socket
import subprocess

import pytest


@pytest.mark.parametrize(
    ("verb", "setting", "expected"),
    [
        ("topology", {"TOPOLOGY": "bogus"}, "TOPOLOGY is 'bogus'; there are: wsgi, asgi, mixed, as in: make topology TOPOLOGY=wsgi"),
        ("topology", {"TOPOLOGY": ""}, "TOPOLOGY is ''; there are: wsgi, asgi, mixed"),
        ("deploy", {"HTTP_PORT": "abc"}, "HTTP_PORT is 'abc'; expected a port from 1024 to 65535"),
        ("deploy", {"HTTPS_PORT": "80"}, "HTTPS_PORT is '80'; expected a port"),
        ("deploy", {"PROVIDER": "vmware"}, "PROVIDER is 'vmware'; expected one of docker, libvirt, virtualbox"),
        ("status", {"ENVIRONMENT": "nowhere"}, "there is no environment 'nowhere'; there are: local"),
        ("deploy", {"ENVIRONMENT": "../local"}, "there is no environment '../local'"),
        ("ssh", {"HOST": "nobody"}, "HOST is 'nobody'; expected one of edge, app1, app2, data, load"),
        ("logs", {}, "HOST is ''; expected one of edge"),
        ("logs", {"HOST": "app1", "LINES": "many"}, "LINES is 'many'; expected a number"),
        ("status", {"FORMAT": "xml"}, "FORMAT is 'xml'; expected one of text, json"),
    ],
    ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else value.partition(" ")[0],
)
def test_wrong_input_is_one_clear_line(deployed, verb, setting, expected):
    done = deployed.make(verb, **setting)
    assert done.code == 2
    assert len(done.complaint) == 1, done.err
    assert done.complaint[0].startswith(f"laurel: {expected}")
    assert "Traceback" not in done.out + done.err


def test_a_port_in_use_is_named_with_its_setting_and_the_cluster_stays(deployed):
    before = deployed.addresses
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = deployed.make("deploy", LOCUST_PORT=port)
    assert done.code == 2
    assert len(done.complaint) == 1, done.err
    assert f"port {port} on 127.0.0.1 cannot be had" in done.complaint[0]
    assert "make deploy LOCUST_PORT=" in done.complaint[0]
    assert deployed.addresses == before
    assert all(host["reachable"] for host in deployed.status()["hosts"].values())


def test_a_second_checkout_gets_a_network_and_names_of_its_own(deployed, tmp_path):
    shutil.copytree(deployed.root / "docker", tmp_path / "docker")
    (tmp_path / "ansible/inventories/local").mkdir(parents=True)
    for name in ("hosts.yml", "addresses.yml"):
        shutil.copy(deployed.inventory / name, tmp_path / "ansible/inventories/local")
    choose = "from cluster import inventory, settings; c = inventory.choose(settings.read()); print(c.name, c.network)"
    done = subprocess.run(
        [deployed.root / ".venv/bin/python", "-c", choose], cwd=tmp_path, env={"PATH": "/usr/sbin:/usr/bin:/bin", "PYTHONPATH": "docker"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    name, network = done.stdout.split()
    mine = deployed.addresses["vars"]
    assert name != mine["cluster_name"]
    assert network != mine["cluster_network"]


def test_the_doctor_finds_nothing_that_fails(deployed):
    done = deployed.make("doctor")
    assert done.code == 0, done.out
    assert "  fail" not in done.out


def test_the_journal_of_a_unit_is_a_command_away(deployed):
    done = deployed.make("logs", HOST="app1", UNIT="uwsgi", LINES="5")
    assert done.code == 0
    assert 1 <= len(done.out.splitlines()) <= 6


def test_make_alone_prints_its_verbs(deployed):
    done = deployed.make("help")
    assert "make VERB" in done.out
    assert all(f"\n  {verb} " in done.out for verb in ("deploy", "topology", "destroy", "status", "logs", "ssh", "doctor", "bench", "test"))
