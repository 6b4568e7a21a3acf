"""Wrong inventories: each gets one complaint that says what was seen and how to mend it, before anything is changed.

The cases change what Ansible worked out of the local inventory, which takes no time; some go through Ansible itself.
"""

import copy
import datetime
import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cluster import inventory, playbook
from cluster.paths import ROOT, VENV

ANSIBLE = ROOT / "ansible"
ROLE = ANSIBLE / "roles/validate"
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
spec = importlib.util.spec_from_file_location("complaints", ROLE / "lookup_plugins/complaints.py")
complaints = importlib.util.module_from_spec(spec)
spec.loader.exec_module(complaints)


def play(book, folder, *arguments):
    return subprocess.run(
        [VENV / "bin/ansible-playbook", "--inventory", folder, book, *arguments],
        env={**playbook.environment(), "ANSIBLE_STRATEGY": "linear"},
        cwd=ANSIBLE, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="session")
def good(tmp_path_factory, inventory_maker):
    """(variables, hosts, groups) of the local inventory with made-up addresses."""
    folder = tmp_path_factory.mktemp("inputs")
    inventory_maker(folder / "local")
    names = {name for path in (ANSIBLE / "group_vars/all").glob("*.yml") for name in yaml.safe_load(path.read_text())}
    # What lies beside the playbook, and what the inventory overrides.
    names |= set(yaml.safe_load((ANSIBLE / "inventories/local/group_vars/laurel/main.yml").read_text()))
    extra = {
        "names": sorted(names - complaints.UNREAD),
        "output": str(folder / "values.json"),
        "playbook_dir": str(ANSIBLE),
        "ansible_become": False,
        "ansible_python_interpreter": str(VENV / "bin/python"),
    }
    done = play(Path(__file__).with_name("inputs.yml"), folder / "local", "--extra-vars", json.dumps(extra))
    assert done.returncode == 0, done.stdout + done.stderr
    variables = json.loads((folder / "values.json").read_text()) | {"inventory_dir": str(folder / "local")}
    addresses = yaml.safe_load((folder / "local/addresses.yml").read_text())["laurel"]["hosts"]
    groups = {group: list(hosts) for group, hosts in inventory.hosts_by_group(ANSIBLE / "inventories/local").items()}
    return variables, addresses, {**groups, "laurel": list(addresses)}


class Case:
    """A copy of the good inventory, to be spoiled."""

    def __init__(self, good, folder):
        self.variables, self.hosts, self.groups = copy.deepcopy(good)
        self.ansible = folder / "ansible"
        self.ansible.mkdir(parents=True)
        for name in ("group_vars", "roles"):
            (self.ansible / name).symlink_to(ANSIBLE / name)
        for name in ("app", "mqtt"):
            (folder / name).symlink_to(ROOT / name)

    def set(self, **values):
        self.variables |= values

    def put(self, table, **values):
        self.variables[table] = {**self.variables[table], **values}

    def drop(self, table, name):
        del self.variables[table][name]

    def whole(self):
        """Secrets as an inventory gives them itself."""
        names = yaml.safe_load((ANSIBLE / "group_vars/all/secrets.yml").read_text())["secrets"]
        return dict.fromkeys(names, "a" * 40) | {"mqtt_passwords": {"bridge": "a" * 40, "sensor": "a" * 40}}

    def secret(self, text):
        folder = self.ansible / "secrets/local"
        folder.mkdir(parents=True)
        (folder / "redis_password").write_text(text)

    def certificate(self, days=100, matching=True, readable=True):
        """Put a certificate of the operator's own beside the inventory."""
        key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "www.example.org")])
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - datetime.timedelta(500), now + datetime.timedelta(days))
        pem, folder = serialization.Encoding.PEM, self.ansible.parent
        text = builder.sign(key, hashes.SHA256()).public_bytes(pem) if readable else b"-----BEGIN CERT"
        (folder / "edge.crt").write_bytes(text)
        plain = serialization.NoEncryption()
        chosen = key if matching else other
        (folder / "edge.key").write_bytes(chosen.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        files = {"nginx_certificate_file": str(folder / "edge.crt"), "nginx_key_file": str(folder / "edge.key")}
        self.set(nginx_certificate="files", **files)

    def complaints(self):
        chains, renamed = DEFAULTS["validate_timeout_chains"], DEFAULTS["validate_renamed"]
        return complaints.complaints(self.variables, self.hosts, self.groups, str(self.ansible), chains, renamed)


@pytest.fixture
def case(good, tmp_path):
    return Case(good, tmp_path / "checkout")


def test_the_inventory_that_is_shipped_gets_no_complaint(case):
    assert case.complaints() == []


def test_secrets_of_the_inventorys_own_get_no_complaint(case):
    case.set(secrets=case.whole())
    assert case.complaints() == []
    case.set(secrets=case.whole() | {"redis_password": "{{ lookup('ansible.builtin.env', 'REDIS') }}"})
    assert case.complaints() == []


def test_a_certificate_of_ones_own_gets_no_complaint(case):
    case.certificate()
    assert case.complaints() == []


LOGIN = "postgresql://{{ application_database_login }}:{{ secrets.database_password }}@db/app"
OWNER = "postgresql://{{ application_database_owner_login }}:{{ secrets.database_owner_password }}@db/app"


@pytest.mark.parametrize(
    ("told", "owner"),
    [
        ({"DATABASE_URL": LOGIN}, None),
        ({"DATABASE_URL": "{{ shop_database_url }}"}, None),
        ({"DB_URL": LOGIN}, {"DB_URL": OWNER}),
        ({"DB_URL": LOGIN}, {"DB_URL": "{{ shop_owner_url }}"}),
        ({"DB_URL": LOGIN}, {"MIGRATIONS_URL": OWNER}),
        ({"COLOUR": "red"}, {}),
        ("{{ shop_environment }}", None),
    ],
)
def test_an_environment_whose_migrations_log_in_as_the_owner_gets_no_complaint(case, told, owner):
    case.set(application_environment=told, **({} if owner is None else {"application_owner_environment": owner}))
    assert case.complaints() == []


WRONG = {
    # Names
    "a misspelt variable": (lambda c: c.set(topolgy="mixed"), "there is no variable topolgy; do you mean topology?"),
    "a misspelt variable of a role": (
        lambda c: c.set(nginx_hsts_second=1),
        "no variable nginx_hsts_second; do you mean nginx_hsts_seconds?",
    ),
    "a variable that nobody knows": (
        lambda c: c.set(nginx_colour="red"),
        "there is no variable nginx_colour; take it out of the inventory",
    ),
    "a variable that was renamed": (lambda c: c.set(https_port=443), "https_port has another name now: write public_https_port"),
    "a misspelt timeout": (lambda c: c.put("timeouts", nginx_raed=60), "timeouts has no nginx_raed; do you mean nginx_read?"),
    "a size that nobody knows": (lambda c: c.put("sizes", colour=1), "sizes has no colour; the names are those of"),
    "timeouts that are not whole": (lambda c: c.drop("timeouts", "client"), "timeouts lacks client: an inventory's timeouts replaces"),
    "sizes that are not whole": (lambda c: c.drop("sizes", "open_files"), "sizes lacks open_files"),
    "limits that are not whole": (lambda c: c.drop("limits", "retry_after"), "limits lacks retry_after"),
    # Kinds and ranges
    "a timeout with a unit": (lambda c: c.put("timeouts", client="70s"), "timeouts.client is '70s'; expected a whole number above 0"),
    "a timeout of nothing": (lambda c: c.put("timeouts", redis=0), "timeouts.redis is 0; expected a whole number above 0"),
    "a negative size": (lambda c: c.put("sizes", uwsgi_max_requests=-1), "sizes.uwsgi_max_requests is -1"),
    "a switch for a number": (lambda c: c.put("sizes", daphne_instances=True), "sizes.daphne_instances is True"),
    "memory without a unit": (
        lambda c: c.put("sizes", uwsgi_memory_max="lots"),
        "sizes.uwsgi_memory_max is 'lots'; expected a number with a unit",
    ),
    "timeouts that are a list": (lambda c: c.set(timeouts=[1, 2]), "timeouts is [1, 2]; expected"),
    "a choice that is none": (
        lambda c: c.set(nginx_plain_http="sometimes"),
        "nginx_plain_http is 'sometimes'; expected one of redirect, off",
    ),
    "HSTS that is negative": (lambda c: c.set(nginx_hsts_seconds=-5), "nginx_hsts_seconds is -5; expected 0 or more"),
    "HSTS in words": (lambda c: c.set(nginx_hsts_seconds="two years"), "nginx_hsts_seconds is 'two years'; expected a whole number"),
    "an inner timeout that is longer": (
        lambda c: c.put("timeouts", nginx_read=40),
        "timeouts.nginx_read is 40; expected the first to be smaller",
    ),
    "a backlog that the kernel has not": (lambda c: c.put("sizes", listen_backlog=9000), "listen_backlog is 9000; expected at most 4096"),
    "no worker left for pages": (lambda c: c.put("sizes", uwsgi_waiting=2), "sizes.uwsgi_waiting is 2 of 2 uwsgi_processes"),
    "headers that uWSGI cannot take": (lambda c: c.put("limits", header_lines=9), "sizes.uwsgi_buffer_bytes is 32768; raise the buffer to"),
    # Topologies and servers
    "a topology that is none": (lambda c: c.set(topology="bogus"), "topology is 'bogus'; expected one of wsgi, asgi, mixed"),
    "a topology without a server": (
        lambda c: c.put("topologies", mixed={"websocket": "daphne"}),
        "the topology mixed is {'websocket': 'daphne'}",
    ),
    "a topology with an unknown server": (
        lambda c: c.put("topologies", mixed={"http": "gunicorn", "websocket": "daphne"}),
        "the topology mixed has 'gunicorn' for http; expected one of",
    ),
    "a topology without HTTP": (lambda c: c.put("topologies", mixed={"http": "none", "websocket": "daphne"}), "has 'none' for http"),
    "a server without ports": (lambda c: c.put("servers", uwsgi={"protocol": "uwsgi", "units": ["uwsgi.service"]}), "the server uwsgi is"),
    "a server with another protocol": (
        lambda c: c.put("servers", uwsgi={"protocol": "fastcgi", "ports": [1], "units": ["x.service"]}),
        "expected a protocol (uwsgi or http)",
    ),
    # Hosts
    "no edge": (lambda c: c.groups.pop("nginx"), "the group nginx (the edge) has no host"),
    "no application host": (lambda c: c.groups.update(app=[]), "the group app (uWSGI and Daphne) has no host"),
    "no database": (lambda c: c.groups.pop("postgresql"), "the group postgresql (the database) has no host"),
    "two hosts for Redis": (
        lambda c: c.groups.update(redis=["data", "load"]),
        "the group redis has 2 hosts; expected one, or three or five",
    ),
    "two databases": (lambda c: c.groups.update(postgresql=["data", "load"]), "the group postgresql has 2 hosts; expected one"),
    "a host twice": (lambda c: c.hosts["app2"].update(ansible_host=c.hosts["app1"]["ansible_host"]), "app1 and app2 have the same address"),
    "an address that is none": (
        lambda c: c.hosts["app2"].update(ansible_host="198.18.300.1"),
        "the ansible_host of app2 is '198.18.300.1'",
    ),
    # Names and ports of the outside
    "no name": (lambda c: c.set(server_names=[]), "server_names is empty"),
    "a name that is an address of a page": (
        lambda c: c.set(server_names=["https://www.example.org/"]),
        "server_names has 'https://www.example.org/'",
    ),
    "names that are a text": (lambda c: c.set(server_names="www.example.org"), "server_names is 'www.example.org'; expected a list"),
    "a port that is none": (lambda c: c.set(public_https_port=99999), "public_https_port is 99999; expected a port from 1 to 65535"),
    "one port for two": (lambda c: c.set(public_http_port=c.variables["public_https_port"]), "expected two ports"),
    "a flow to nowhere": (
        lambda c: c.variables["flows"].append({"from": "app", "to": "postgresq", "ports": [1], "why": "x"}),
        "the flow 'x' goes to 'postgresq'; expected a group of the inventory; do you mean postgresql?",
    ),
    "a flow without a reason": (
        lambda c: c.variables["flows"].append({"from": "app", "to": "redis", "ports": [1]}),
        "has not all of from, to",
    ),
    "a flow to a port that is none": (
        lambda c: c.variables["flows"].append({"from": "app", "to": "redis", "ports": ["http"], "why": "x"}),
        "the flow 'x' names the port 'http'",
    ),
    # The application
    "an application that is not there": (
        lambda c: c.set(application_source="shop"),
        "application_source is 'shop', and there is no such folder",
    ),
    "a lock that is not there": (
        lambda c: c.set(application_requirements="lock.txt"),
        "there is no app/lock.txt; expected a lock with hashes",
    ),
    "a lock without hashes": (lambda c: c.set(application_requirements="requirements.in"), "app/requirements.in has no hashes"),
    "a module without its attribute": (
        lambda c: c.set(application_wsgi_module="shop.wsgi"),
        "application_wsgi_module is 'shop.wsgi'; expected <module>:",
    ),
    "a file for a module": (
        lambda c: c.set(application_settings_module="shop/settings.py"),
        "application_settings_module is 'shop/settings.py'",
    ),
    "a static path without slashes": (
        lambda c: c.set(application_static_url="static"),
        "application_static_url is 'static'; expected a path",
    ),
    "a health path without a slash": (lambda c: c.set(application_health_path="healthz"), "application_health_path is 'healthz'"),
    "a user with a space": (lambda c: c.set(application_user="my app"), "application_user is 'my app'"),
    "the application as root": (lambda c: c.set(application_user="root"), "application_user is root"),
    "a stream path that is no expression": (lambda c: c.set(application_stream_paths=["^/a("]), "'^/a(', which is no regular expression"),
    "a worker that cannot be a unit": (
        lambda c: c.set(application_worker_commands={"my mailer": "x"}),
        "application_worker_commands has 'my mailer'",
    ),
    "an environment of one's own, and the owner's of ours": (
        lambda c: c.set(application_environment={"DB_URL": LOGIN}),
        "application_environment tells the application's login in DB_URL, and application_owner_environment does not replace it",
    ),
    "an environment of one's own that tells the login in another variable": (
        lambda c: c.set(application_environment={"DB_URL": "{{ shop_database_url }}"}),
        "application_environment has no DATABASE_URL, and application_owner_environment gives one",
    ),
    "an owner's login with the application's password": (
        lambda c: c.set(
            application_environment={"DB_USER": "{{ application_database_login }}", "DB_PASSWORD": "{{ secrets['database_password'] }}"},
            application_owner_environment={"DB_USER": "{{ application_database_owner_login }}"},
        ),
        "application_environment tells the application's login in DB_PASSWORD",
    ),
    "the application's login for the owner": (
        lambda c: c.set(application_environment={"DB_URL": LOGIN}, application_owner_environment={"DB_URL": LOGIN}),
        "application_environment tells the application's login in DB_URL",
    ),
    # Secrets and certificates
    "a secret with a template": (
        lambda c: c.secret("abcdefgh{{ 7 * 7 }}ijklmnop"),
        "the secret redis_password (27 characters) is not made of",
    ),
    "a secret with quotes": (lambda c: c.secret("abcdefgh'\"ijklmnopq"), "the secret redis_password (19 characters)"),
    "a secret of two lines": (lambda c: c.secret("abcdefghijklmnopq\nrst"), "the secret redis_password (21 characters)"),
    "a secret of 200 characters": (lambda c: c.secret("a" * 200), "the secret redis_password (200 characters)"),
    "a secret that is empty": (lambda c: c.secret(""), "rm ansible/secrets/local/redis_password"),
    "secrets of the inventory's own that are not whole": (
        lambda c: c.set(secrets={name: text for name, text in c.whole().items() if name != "redis_password"}),
        "secrets lacks redis_password: an inventory's secrets replace the default as a whole",
    ),
    "secrets of the inventory's own without a user of the broker": (
        lambda c: c.set(secrets=c.whole() | {"mqtt_passwords": {"bridge": "a" * 40}}),
        "secrets lacks mqtt_passwords.sensor",
    ),
    "a secret of the inventory's own with a slash": (
        lambda c: c.set(secrets=c.whole() | {"redis_password": "abcdefgh/ijklmnopqrst"}),
        "the secret redis_password (21 characters) is not made of 16 to 128 letters and digits",
    ),
    "a certificate that is not there": (
        lambda c: (c.certificate(), c.set(nginx_certificate_file="/nowhere/edge.crt")),
        "nginx_certificate_file is '/nowhere/edge.crt', and there is no such file",
    ),
    "a certificate that has ended": (lambda c: c.certificate(days=-1), "the certificate in nginx_certificate_file ended on"),
    "a key of another certificate": (lambda c: c.certificate(matching=False), "the key in nginx_key_file is not that of the certificate"),
    "a certificate that is cut short": (lambda c: c.certificate(readable=False), "cannot be read as PEM"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_inventory_gets_one_complaint(case, name):
    spoil, expected = WRONG[name]
    spoil(case)
    found = case.complaints()
    assert len(found) == 1, found
    assert expected in found[0]
    # A complaint shows no secret.
    assert "abcdefgh" not in found[0]


def test_the_corpus_is_as_large_as_promised():
    assert len(WRONG) >= 40


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """An environment of its own, whose inventory the verb reads."""
    folder = tmp_path / "local"
    shutil.copytree(ANSIBLE / "inventories/local", folder, ignore=shutil.ignore_patterns("pki", "ssh*", "addresses.yml", "topology.yml"))
    make_addresses(folder)
    monkeypatch.setattr(playbook, "inventory", lambda _: folder)
    return folder


def make_addresses(folder):
    hosts = {name: f"198.18.250.{number}" for name, number in inventory.cluster_numbers(folder).items()}
    ports = {"HTTP_PORT": 8080, "HTTPS_PORT": 8443, "LOCUST_PORT": 8089}
    inventory.write(inventory.Cluster("laurel-test", "198.18.250.0/24", "docker", "127.0.0.1", ports, hosts), folder / "addresses.yml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("topolgy: wsgi", "there is no variable topolgy; do you mean topology?"),
        ('server_names: ["{{ nothing }}"]', "cannot be worked out: 'nothing' is undefined"),
        ('application_environment: {DB_URL: "{{ application_database_login }}"}', "tells the application's login in DB_URL"),
        ("sizes: {{ nothing", "the inventory 'local' cannot be read: YAML parsing failed"),
    ],
)
def test_the_verb_says_it_in_one_line(environment, text, expected):
    (environment / "group_vars/laurel/wrong.yml").write_text(text + "\n")
    with pytest.raises(playbook.Failure) as refused:
        playbook.validate("local")
    assert expected in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_the_verb_accepts_what_is_shipped(environment):
    playbook.validate("local")
