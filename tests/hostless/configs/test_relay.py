"""The relay, and what takes a host out of rotation."""

import json

import pytest

SHIM = """
mkdir -p /shim /usr/share/laurel/nginx && printf '#!/bin/sh\\n' > /shim/systemctl && chmod +x /shim/systemctl
cp /etc/nginx/mime.types /etc/nginx/uwsgi_params /usr/share/laurel/nginx/
cp /source-nginx/activate /etc/laurel/activate-nginx && cp /source-nginx/rotation /etc/laurel/
export PATH=/shim:$PATH
/etc/laurel/activate-nginx /etc/laurel/nginx /etc/laurel/nginx > /dev/null
"""


@pytest.fixture
def relay(files):
    return json.loads(files["app1"]["relay/relay.json"])


def test_it_asks_the_servers_of_the_served_topologies(relay, variant):
    expected = {"wsgi": ["uwsgi"], "asgi": ["daphne"]}.get(variant, ["daphne", "uwsgi"])
    assert [server["name"] for server in relay["servers"]] == expected
    assert all("{socket}" in " ".join(server["candidate"]) for server in relay["servers"])


def test_it_brings_every_unit_of_the_application(relay, variant):
    names = [unit["unit"] for unit in relay["units"]]
    assert ("worker-mailer.service" if variant == "foreign" else "worker-thumbnails.service") in names
    assert "mqtt.service" in names
    assert ("uwsgi.service" in names) is (variant != "asgi")
    # systemd holds a port only as long as its socket stays: it comes before its service.
    if variant != "wsgi":
        assert names.index("daphne@2.socket") < names.index("daphne@2.service")
    assert all("/etc/app/environment" in unit["files"] for unit in relay["units"] if not unit["unit"].endswith(".socket"))


def test_a_host_out_of_rotation_stays_out_until_it_is_brought_back(host):
    script = (
        SHIM
        + """
    cp /etc/laurel/nginx/upstreams.conf /before
    /etc/laurel/rotation out app1 'a new disk' && grep -c ' down; # app1$' /etc/laurel/nginx/upstreams.conf
    /etc/laurel/rotation list
    grep -v ' down;' /etc/laurel/nginx/upstreams.conf | grep -c '; # app2$'
    /etc/laurel/rotation out app2 2>&1; echo code $?
    /etc/laurel/rotation out nobody 2>&1; echo code $?
    /etc/laurel/rotation in app1 && cmp /before /etc/laurel/nginx/upstreams.conf && echo same"""
    )
    code, said = host.run(script, "mixed", "edge")
    assert code == 0, said
    assert said.splitlines() == [
        "changed", "6", "app1 a new disk", "6",
        "rotation: app2 is the last app host that serves; bring another one in first", "code 1",
        "rotation: nginx knows no app host nobody", "code 1",
        "changed", "same",
    ]  # fmt: skip
