"""What a bench compares beside the deployed servers: the same configurations, with one thing changed."""

import asyncio
import difflib
import importlib.util
import re

import pytest
import yaml

from cluster.paths import ROOT
from test_firewall import let_in

DATA = yaml.safe_load((ROOT / "ansible/group_vars/all/rig.yml").read_text())
TARGETS = DATA["rig_targets"]
PLACE = {"app": "app1", "nginx": "edge"}
PROCESSES = {name: target for name, target in TARGETS.items() if "host" in target and "served_by" not in target}
UWSGI = [name for name, target in PROCESSES.items() if target["server"] == "uwsgi"]
DAPHNE = [name for name, target in PROCESSES.items() if target["server"] == "daphne"]
SCENARIOS = {"transport", "floor", "static", "layer"}
PROGRAMS = """
for folder in /srv/app/current/venv /srv/rig/wheels-ba9876543210/env; do
    mkdir -p $folder/bin && cp /rendered/uwsgi $folder/bin/ && ln -sf /bin/true $folder/bin/python
done
mkdir -p /srv/rig/code /srv/app/current/code && cat > /srv/rig/code/bare.py <<'END'
def wsgi(environ, start_response): ...
END
"""


@pytest.fixture
def units(workshop):
    """The units and configurations of the rig: files[host][name]."""
    return {host.name: {path.name: path.read_text() for path in host.rglob("*") if path.is_file()} for host in (workshop / "rig").iterdir()}


def place(name):
    return PLACE[PROCESSES[name]["host"]]


def differences(before, after):
    """The lines that are gone and those that came instead."""
    lines = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "-+"]
    return [line[2:] for line in lines if line[0] == "-"], [line[2:] for line in lines if line[0] == "+"]


# The data


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_says_what_it_is(name):
    target = TARGETS[name]
    assert target["scenario"] in SCENARIOS
    assert target["server"] in {"uwsgi", "daphne", "nginx"}
    assert target["app"] in {"bare", "application"}
    assert target["why"].strip().endswith(".")
    assert "path" in target or target["scenario"] == "static"
    assert target["units"] or target["server"] == "nginx"
    assert re.fullmatch(r"[a-z0-9-]+", name)
    assert "{{" not in str(target), "the lab reads it as it is"


def test_every_scenario_has_something_to_compare():
    assert {target["scenario"] for target in TARGETS.values()} == SCENARIOS


@pytest.mark.parametrize("name", TARGETS)
def test_the_units_of_a_target_are_those_that_run(name, units):
    shared = TARGETS[name].get("served_by", name)
    assert TARGETS[name]["units"] == ([f"rig-{shared}.service"] if TARGETS[name]["server"] != "nginx" else [])
    for unit in TARGETS[name]["units"]:
        assert unit in units[PLACE[TARGETS[name]["host"]]]


def test_no_two_processes_share_a_port():
    ports = [target["port"] for target in PROCESSES.values() if "port" in target]
    servers = yaml.safe_load((ROOT / "ansible/group_vars/all/servers.yml").read_text())["servers"]
    assert len(set(ports)) == len(ports)
    assert servers["uwsgi"]["ports"][0] not in ports
    assert not set(ports) & set(range(9001, 9101))


def test_the_address_past_nginx_is_that_of_its_name_and_port():
    domain = yaml.safe_load((ROOT / "ansible/group_vars/all/topologies.yml").read_text())["side_by_side_domain"]
    direct = {name: target for name, target in TARGETS.items() if "url" in target}
    assert direct
    for name, target in direct.items():
        assert target["url"] == f"https://{name}.{domain}:{target['port']}"


# What runs


@pytest.mark.parametrize("name", UWSGI)
def test_uwsgi_knows_every_option(host, name, units):
    code, said = host.run(
        f"{PROGRAMS}mkdir -p /run/rig-{name}\n"
        f"$(sed -n 's/^ExecStart=//p' /etc/systemd/system/rig-{name}.service | cut -d' ' -f1) --ini /etc/laurel/rig/{name}.ini --no-server",
        "rig", place(name),
    )  # fmt: skip
    assert code == 0, said
    assert "no-server mode requested" in said


@pytest.mark.parametrize("name", ["app1", "edge"])
def test_systemd_accepts_the_units(host, name, units):
    mine = [unit for unit in units[name] if unit.endswith((".service", ".socket"))]
    assert mine
    _, said = host.run(f"{PROGRAMS}systemd-analyze verify --man=no {' '.join(mine)}", "rig", name)
    assert [line for line in said.splitlines() if "rig-" in line] == [], said


@pytest.mark.parametrize("name", UWSGI)
def test_uwsgi_differs_from_the_deployed_one_in_what_is_compared_alone(name, units, rendered):
    target = PROCESSES[name]
    gone, new = differences(rendered["mixed"]["app1"]["uwsgi/uwsgi.ini"], units[place(name)][f"{name}.ini"])
    options = {line.partition(" ")[0] for line in gone + new}
    allowed = {"socket", "hook-pre-app", "pythonpath", "module", "master-fifo", "stats", target["option"]}
    allowed |= {"processes"} if "processes" in target else set()
    allowed |= {"chmod-socket"} if target["socket"] == "unix" else set()
    assert options <= allowed
    assert any(line.startswith(f"{target['option']} = ") for line in units[place(name)][f"{name}.ini"].splitlines())


@pytest.mark.parametrize("name", DAPHNE)
def test_daphne_differs_from_the_deployed_one_in_what_is_compared_alone(name, units, rendered):
    gone, new = differences(rendered["mixed"]["app1"]["daphne/daphne@.service"], units[place(name)][f"rig-{name}.service"])
    settings = {line.strip().partition("=")[0].partition(" ")[0] for line in gone + new}
    mine = {"Description", "Requires", "After", "Environment", "EnvironmentFile", "SyslogIdentifier", "--instance", "--metrics-address"}
    bare = (
        {"User", "Group", "WorkingDirectory", "--handover-directory", "bare:asgi", "project.asgi:application"}
        if PROCESSES[name]["app"] == "bare"
        else set()
    )
    edge = {"ExecStart", "--endpoint", "MemoryDenyWriteExecute"} if PROCESSES[name]["host"] == "nginx" else set()
    assert settings <= mine | bare | edge


def test_uwsgis_sockets_are_nobodys_but_nginxs(units, rendered):
    for name in UWSGI:
        listens = re.search(r"^(?:socket|http-socket|http11-socket) = (\S+)", units[place(name)][f"{name}.ini"], re.MULTILINE)[1]
        if place(name) == "edge":
            assert listens.startswith(("127.0.0.1:", "/run/rig-"))
        else:
            port = int(listens.rpartition(":")[2])
            assert let_in(rendered["rig"]["app1"]["ansible/roles/common/templates/firewall.nft"])[port] == {"198.18.250.11"}


def test_the_ways_are_open_only_while_it_is_on(rendered):
    path = "ansible/roles/common/templates/firewall.nft"
    for name in ("app1", "edge", "data", "load"):
        before, after = let_in(rendered["side_by_side"][name][path]), let_in(rendered["rig"][name][path])
        opened = {port: who for port, who in after.items() if before.get(port) != who}
        ports = {target["port"] for target in PROCESSES.values() if "port" in target and place_of(target) == name}
        if name == "app1":
            assert set(opened) == ports and set(map(frozenset, opened.values())) == {frozenset({"198.18.250.11"})}
        elif name == "edge":
            assert opened == {TARGETS["daphne-h2"]["port"]: {"198.18.250.41"}}
        else:
            assert opened == {}


def place_of(target):
    return PLACE[target["host"]]


def test_redis_lets_the_layers_in_only_while_it_is_on(rendered):
    path = "ansible/roles/redis/templates/users.acl"
    gone, new = differences(rendered["mixed"]["data"][path], rendered["rig"]["data"][path])
    assert gone == []
    assert [line.split()[:2] for line in new] == [["user", "rig"]]
    # The core layer writes a message to all members of a group in one transaction.
    assert {"+@sortedset", "+@transaction", "+@scripting"} <= set(new[0].split())
    assert " ~rig-* resetchannels &rig-* -@all " in new[0]
    for target in TARGETS.values():
        if target.get("layer") in ("core", "pubsub"):
            assert target["environment"]["CHANNEL_PREFIX"].startswith("rig-")


def test_only_a_layer_is_told_what_the_application_is_told(units):
    for name, target in PROCESSES.items():
        text = units[place(name)][f"{name}.environment"]
        if target["app"] == "bare":
            assert "PASSWORD" not in text.upper() and "REDIS" not in text
            assert f"BARE_BODY='{target['body']}'" in text
        else:
            assert "redis://rig:" in text
            assert f"{name}.laurel.test" in text
            assert text.rstrip().splitlines()[-len(target["environment"]) :] == [f'{k}="{v}"' for k, v in target["environment"].items()]


# nginx in front of it


def server(sites, name):
    return next(part for part in sites.split("\nserver {")[1:] if f"server_name {name}.laurel.test;" in part).partition("\n}\n")[0]


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if "url" not in target])
def test_nginx_serves_a_target_under_its_name(rendered, name):
    target = TARGETS[name]
    block = server(rendered["rig"]["edge"]["nginx/sites.conf"], name)
    if target["server"] == "nginx":
        assert "_pass" not in block
        return
    passes = {"uwsgi": f"uwsgi_pass rig-{name};", "http": f"proxy_pass http://rig-{name};"}[target["protocol"]]
    assert passes in block
    upstreams = rendered["rig"]["edge"]["nginx/upstreams.conf"]
    upstream = re.search(rf"^upstream rig-{name} {{\n(.*?)^}}", upstreams, re.MULTILINE | re.DOTALL)[1]
    assert bool(re.search(r"^    keepalive [1-9]", upstream, re.MULTILINE)) is target["keepalive"]


def test_a_normal_deploy_knows_nothing_of_it(rendered):
    for name in ("nginx/sites.conf", "nginx/upstreams.conf"):
        assert "rig-" not in rendered["side_by_side"]["edge"][name]
        assert not [target for target in TARGETS if target in rendered["side_by_side"]["edge"][name]]


# The bare application


@pytest.fixture
def bare(monkeypatch):
    monkeypatch.setenv("BARE_BODY", "hello")
    spec = importlib.util.spec_from_file_location("bare", ROOT / "ansible/roles/rig/files/bare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_bare_application_answers_its_body_to_wsgi(bare):
    started = []
    assert bare.wsgi({}, lambda *arguments: started.append(arguments)) == [b"hello"]
    assert started == [("200 OK", [("Content-Type", "application/json"), ("Content-Length", "5")])]


def test_the_bare_application_answers_its_body_to_asgi(bare):
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(bare.asgi({"type": "http"}, None, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["headers"][1] == (b"content-length", b"5")
    assert sent[1]["body"] == b"hello"
    with pytest.raises(ValueError, match="websocket"):
        asyncio.run(bare.asgi({"type": "websocket"}, None, send))
