"""uWSGI, as the app hosts get it, read by the uWSGI that they get."""

import re

import pytest
import yaml

from cluster.paths import ROOT

UWSGI = "/srv/app/current/venv/bin/uwsgi --ini /etc/laurel/uwsgi.ini"
APPLICATION = """
def {name}(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]
"""


@pytest.fixture
def ini(files):
    """The options as uWSGI reads them; of one that is there several times, the last."""
    lines = [line.split(" ; ")[0].rstrip() for line in files["app1"]["uwsgi/uwsgi.ini"].splitlines()]
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines if "=" in line and line[0] != ";")}


def install(module):
    """A script that puts uWSGI and a small application where the release would be."""
    path, _, name = module.partition(":")
    folder, _, leaf = path.replace(".", "/").rpartition("/")
    code = "/srv/app/current/code"
    return f"""
rm -rf /srv/app && mkdir -p {code}/{folder} /srv/app/current/venv/bin /run/uwsgi
cp /rendered/uwsgi /srv/app/current/venv/bin/
cat > {code}/{folder}/{leaf}.py <<'END'{APPLICATION.format(name=name)}END
"""


def test_uwsgi_knows_every_option(host, variant, ini):
    code, said = host.run(install(ini["module"]) + f"{UWSGI} --no-server", variant, "app1")
    assert code == 0, said
    assert "no-server mode requested" in said
    assert not [line for line in said.splitlines() if "unknown" in line.lower() or "unsupported" in line.lower()], said


def test_uwsgi_refuses_an_option_it_does_not_know(host):
    broken = f"echo 'harakiry = 1' >> /etc/laurel/uwsgi.ini; {UWSGI} --no-server"
    code, said = host.run(install("a.b:c") + broken, "mixed", "app1")
    assert code == 1
    assert "unknown config directive: harakiry" in said


@pytest.mark.parametrize("variant", ["mixed", "foreign"])
def test_uwsgi_serves_an_application_with_it(host, variant, ini):
    start = f"timeout --signal TERM 2 {UWSGI}"
    _, said = host.run(install(ini["module"]) + start, variant, "app1")
    assert said.count("WSGI app 0 (mountpoint='') ready") == int(ini["processes"]), said
    # SIGTERM ends it (by default it would reload).
    assert "goodbye to uWSGI" in said


def test_uwsgi_listens_on_the_hosts_address_and_speaks_its_own_protocol(files, ini):
    assert ini["socket"] == "198.18.250.21:3031"
    assert not re.search(r"^http", files["app1"]["uwsgi/uwsgi.ini"], re.MULTILINE)


@pytest.mark.parametrize("option", ["strict", "master", "lazy-apps", "need-app", "die-on-term", "single-interpreter", "vacuum"])
def test_uwsgi_runs_in_production_form(ini, option):
    assert ini[option] == "true"


def test_the_fifo_lies_where_only_the_service_writes(files, ini):
    assert ini["master-fifo"].startswith("/run/uwsgi/")
    assert "RuntimeDirectory=uwsgi" in files["app1"]["uwsgi/uwsgi.service"]
    assert f"echo c > {ini['master-fifo']}" in files["app1"]["uwsgi/uwsgi.service"]


def test_a_slow_request_is_killed_before_nginx_gives_up(ini):
    nginx_read = yaml.safe_load((ROOT / "ansible/group_vars/all/timeouts.yml").read_text())["timeouts"]["nginx_read"]
    assert int(ini["harakiri"]) + int(ini["harakiri-graceful-timeout"]) < nginx_read


def test_the_request_id_is_in_every_line_of_the_log(ini):
    assert '"request_id":"%(var.HTTP_X_REQUEST_ID)"' in ini["log-format"]


def test_another_application_takes_the_place_of_the_demo(rendered):
    app1 = rendered["foreign"]["app1"]
    assert "module = shop.config.wsgi:app\n" in app1["uwsgi/uwsgi.ini"]
    assert "User=shopkeeper\n" in app1["uwsgi/uwsgi.service"]
    assert "    shop.config.asgi:app\n" in app1["daphne/daphne@.service"]
    assert "--reuid=shopkeeper " in app1["ansible/roles/release/templates/app-manage"]
    assert not [name for name, text in app1.items() if "project." in text]
