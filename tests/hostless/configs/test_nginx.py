"""nginx, as the edge gets it in each topology."""

import re

import pytest

from cluster.paths import ROOT

CHECK = """
for name in mime.types uwsgi_params modules-enabled; do cp -a /etc/nginx/$name /etc/laurel/nginx/; done
nginx -t -c /etc/laurel/nginx/nginx.conf"""


def directives(text):
    """The lines that nginx obeys."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def location(sites, path, server="localhost"):
    """The directives of a location of the server with this name."""
    block = next(part for part in sites.split("\nserver {")[1:] if server in re.search("server_name (.*);", part)[1].split())
    return directives(re.search(rf"location {re.escape(path)} {{\n(.*?)\n    }}", block, re.DOTALL)[1])


@pytest.fixture
def nginx(files):
    return {name.removeprefix("nginx/"): text for name, text in files["edge"].items() if name.startswith("nginx/")}


@pytest.fixture
def topology(rendered):
    def of(name):
        return rendered[name]["edge"]

    return of


def test_nginx_accepts_the_whole_configuration(host, variant):
    code, said = host.run(CHECK, variant, "edge")
    assert code == 0, said
    assert "[warn]" not in said


def test_nginx_refuses_a_broken_one(host):
    code, said = host.run("echo 'nonsense on;' >> /etc/laurel/nginx/sites.conf" + CHECK, "mixed", "edge")
    assert code == 1
    assert 'unknown directive "nonsense"' in said


def test_the_role_ships_every_file_that_nginx_reads():
    shipped = re.search(r"nginx_files:\n((?:  - .*\n)*)", (ROOT / "ansible/roles/nginx/vars/main.yml").read_text())[1]
    templates = {str(path.relative_to(ROOT / "nginx")).removesuffix(".j2") for path in (ROOT / "nginx").rglob("*.conf.j2")}
    assert set(shipped.replace("  - ", "").split()) == templates - {"nginx.service.conf"}


def test_http_goes_to_the_server_of_the_topology(topology):
    assert location(topology("wsgi")["nginx/sites.conf"], "/") == ["include snippets/uwsgi.conf;", "uwsgi_pass uwsgi;"]
    assert location(topology("mixed")["nginx/sites.conf"], "/") == ["include snippets/uwsgi.conf;", "uwsgi_pass uwsgi;"]
    assert location(topology("asgi")["nginx/sites.conf"], "/") == ["include snippets/http.conf;", "proxy_pass http://daphne;"]


@pytest.mark.parametrize("name", ["asgi", "mixed"])
def test_websockets_go_to_daphne(topology, name):
    assert location(topology(name)["nginx/sites.conf"], "/ws/") == ["include snippets/websocket.conf;", "proxy_pass http://daphne;"]


def test_without_a_websocket_server_the_path_says_so(topology):
    lines = location(topology("wsgi")["nginx/sites.conf"], "/ws/")
    assert lines[0] == "default_type text/plain;"
    assert lines[1].startswith('return 501 "The topology wsgi has no WebSocket server.')
    assert len(lines) == 2


def test_a_topology_has_only_the_upstreams_it_needs(topology):
    def upstreams(name):
        return re.findall(r"^upstream (\w+)", topology(name)["nginx/upstreams.conf"], re.MULTILINE)

    assert upstreams("wsgi") == ["uwsgi"]
    assert upstreams("asgi") == ["daphne"]
    assert upstreams("mixed") == ["daphne", "uwsgi"]


def test_every_process_of_every_app_host_is_in_its_upstream(topology):
    servers = re.findall(r"server (198\.18\.250\.\d+:\d+) max_fails=(\d)", topology("mixed")["nginx/upstreams.conf"])
    processes = [f"198.18.250.{host}:{port}" for host in (21, 22) for port in (9001, 9002)]
    processes += ["198.18.250.21:3031", "198.18.250.22:3031"]
    # Twice: the second is asked when all the first are left out, and is never left out itself.
    assert sorted(servers) == sorted((process, most) for process in processes for most in "01")


def test_a_host_that_says_it_cannot_serve_is_left_out_and_another_is_asked(nginx):
    lines = directives(nginx["nginx.conf"])
    for protocol in ("uwsgi", "proxy"):
        assert f"{protocol}_next_upstream error timeout http_503;" in lines
    # One level alone: another one's would replace it for its locations.
    where = [name for name, text in nginx.items() if any("next_upstream " in line for line in directives(text))]
    assert set(where) <= {"nginx.conf", "sites.conf"}
    assert not [line for text in nginx.values() for line in directives(text) if "non_idempotent" in line]


def test_the_last_server_that_is_asked_is_another_hosts(nginx):
    for protocol, upstream in (("uwsgi", "uwsgi"), ("proxy", "daphne")):
        group = re.search(rf"^upstream {upstream} {{\n(.*?)^}}", nginx["upstreams.conf"], re.MULTILINE | re.DOTALL)
        if group is None:
            continue
        hosts = re.findall(r"max_fails=1 .*; # (.*)$", group[1], re.MULTILINE)
        most = max(hosts.count(host) for host in hosts)
        assert int(re.search(rf"{protocol}_next_upstream_tries (\d+);", nginx["nginx.conf"])[1]) > most


def test_one_host_alone_is_not_asked_twice(rendered):
    upstreams = rendered["rig"]["edge"]["nginx/upstreams.conf"]
    assert "backup" not in re.search(r"^upstream rig-.*", upstreams, re.MULTILINE | re.DOTALL)[0]


@pytest.mark.parametrize(("name", "protocol"), [("wsgi", "uwsgi"), ("mixed", "uwsgi"), ("asgi", "proxy")])
def test_an_application_that_is_asked_whether_it_is_ready_leaves_no_host_out(topology, name, protocol):
    lines = location(topology(name)["nginx/sites.conf"], "= /readyz")
    assert f"{protocol}_next_upstream error timeout;" in lines
    assert lines[0] == location(topology(name)["nginx/sites.conf"], "/")[0]


def test_connections_are_kept_to_daphne_and_never_to_uwsgi(topology):
    daphne, uwsgi = topology("mixed")["nginx/upstreams.conf"].split("upstream uwsgi")
    assert re.search(r"^    keepalive [1-9]", daphne, re.MULTILINE)
    assert "keepalive " not in " ".join(directives(uwsgi))


def test_side_by_side_each_topology_has_a_name_of_its_own(topology):
    sites = topology("side_by_side")["nginx/sites.conf"]
    assert location(sites, "/", "wsgi.laurel.test")[1] == "uwsgi_pass uwsgi;"
    assert location(sites, "/ws/", "wsgi.laurel.test")[1].startswith("return 501 ")
    assert location(sites, "/", "asgi.laurel.test")[1] == "proxy_pass http://daphne;"
    assert location(sites, "/ws/", "mixed.laurel.test")[1] == "proxy_pass http://daphne;"
    assert sites.count("default_server backlog") == 1


def test_a_name_that_is_not_served_reaches_no_application(nginx):
    block = next(part for part in nginx["sites.conf"].split("\nserver {")[1:] if "ssl http2 default_server" in part)
    assert 'return 421 "This server does not serve that name.\\n";' in directives(block)
    assert "_pass" not in block


def test_a_client_cannot_choose_the_forwarding_headers(nginx):
    http, uwsgi = directives(nginx["snippets/http.conf"]), directives(nginx["snippets/uwsgi.conf"])
    for name, value in {
        "X-Forwarded-For": "$remote_addr",
        "X-Forwarded-Proto": "$scheme",
        "X-Forwarded-Host": '""',
        "X-Request-ID": "$request_id",
    }.items():
        assert f"proxy_set_header {name} {value};" in http
        assert f"uwsgi_param HTTP_{name.upper().replace('-', '_')} {value};" in uwsgi


def test_a_client_cannot_choose_the_root_path(nginx):
    assert 'proxy_set_header Daphne-Root-Path "";' in directives(nginx["snippets/http.conf"])


def test_websockets_get_the_same_headers_as_requests(nginx):
    lines = directives(nginx["snippets/websocket.conf"])
    # A proxy_set_header of its own where another level has some would drop all of those; here they are one level.
    assert "include snippets/http.conf;" in lines
    assert "proxy_set_header Upgrade $http_upgrade;" in lines


def test_the_host_is_the_one_that_nginx_checked(nginx):
    assert not [line for text in nginx.values() for line in directives(text) if "$http_host" in line]
    assert any(line.startswith("proxy_set_header Host $host") for line in directives(nginx["snippets/http.conf"]))
    assert any(line.startswith("uwsgi_param HTTP_HOST $host") for line in directives(nginx["snippets/uwsgi.conf"]))


def test_the_connection_header_is_upgrade_only_for_an_upgrade(nginx):
    lines = directives(nginx["nginx.conf"])
    start = lines.index("map $http_upgrade $connection_upgrade {")
    assert lines[start + 1 : start + 3] == ["default upgrade;", "''      '';"]
    assert "proxy_set_header Connection $connection_upgrade;" in directives(nginx["snippets/http.conf"])


@pytest.mark.parametrize(
    ("name", "immutable"),
    [
        ("/static/laurel.0123456789ab.css", True),
        ("/static/deep/er/feed.fedcba987654.js", True),
        ("/static/laurel.css", False),
        ("/static/laurel.0123456789a.css", False),
        ("/static/laurel.0123456789abc.css", False),
        ("/static/laurel.0123456789AB.css", False),
        ("/static/0123456789ab", False),
    ],
)
def test_only_hashed_names_are_kept_for_ever(rendered, name, immutable):
    files = rendered["mixed"]["edge"]
    lines = directives(files["nginx/snippets/header_values.conf"])
    start = lines.index("map $uri $static_cache_control {")
    pattern, header = re.fullmatch(r'"~(.+?)" "(.+)";', lines[start + 1]).groups()
    assert header == "public, max-age=31536000, immutable"
    assert bool(re.search(pattern, name)) is immutable
    # An empty value sends no header.
    assert re.fullmatch(r"default\s+'';", lines[start + 2])
    assert directives(files["nginx/snippets/static.conf"])[0] == "add_header Cache-Control $static_cache_control;"


def test_static_files_are_compressed_already(nginx):
    path = "/assets/" if "/assets/" in nginx["sites.conf"] else "/static/"
    lines = location(nginx["sites.conf"], path)
    assert {"gzip_static on;", "brotli_static on;", "alias /srv/static/;"} <= set(lines)


def test_the_plain_port_leads_to_the_encrypted_one(rendered):
    assert "return 308 https://$host:8443$request_uri;" in rendered["mixed"]["edge"]["nginx/sites.conf"]
    assert "return 308 https://$host$request_uri;" in rendered["foreign"]["edge"]["nginx/sites.conf"]


def test_the_port_is_in_the_host_only_where_it_is_not_the_usual_one(rendered):
    assert "Host $host:8443;" in rendered["mixed"]["edge"]["nginx/snippets/http.conf"]
    assert "Host $host;" in rendered["foreign"]["edge"]["nginx/snippets/http.conf"]


def test_tls_is_modern_and_http_2_is_on(nginx):
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in directives(nginx["snippets/tls.conf"])
    listens = [line for line in directives(nginx["sites.conf"]) if line.startswith("listen") and "ssl" in line]
    assert listens
    assert all("ssl http2" in line for line in listens)


def test_the_request_id_is_in_every_line_of_the_log(nginx):
    assert '"request_id":"$request_id"' in nginx["snippets/log.conf"]


def test_nginx_is_reloaded_only_with_a_configuration_it_accepts(nginx):
    reloads = [line for line in directives(nginx["nginx.service.conf"]) if line.startswith("ExecReload=/")]
    assert reloads == [
        "ExecReload=/usr/sbin/nginx -t -q -c /etc/laurel/nginx/nginx.conf",
        "ExecReload=/bin/kill -HUP $MAINPID",
    ]


def test_every_answer_has_the_safe_headers(nginx):
    """Also where a block has an `add_header` of its own, which drops those of the blocks around it."""
    blocks = nginx["sites.conf"].split("\nserver {")[1:]
    assert all("include snippets/headers.conf;" in directives(block) for block in blocks if "ssl http2" in block)
    own = [name for name, text in nginx.items() if any(line.startswith("add_header") for line in directives(text))]
    assert set(own) == {"sites.conf", "snippets/headers.conf", "snippets/static.conf", "snippets/errors.conf"}
    for block in nginx["sites.conf"].split("{"):
        assert "add_header" not in block or "include snippets/headers.conf;" in directives(block)
    for name in ("snippets/static.conf", "snippets/errors.conf"):
        assert "include snippets/headers.conf;" in directives(nginx[name])


def test_hsts_is_off_until_it_is_asked_for(rendered):
    def sent(variant):
        texts = [text for name, text in rendered[variant]["edge"].items() if name.startswith("nginx/")]
        return {line for text in texts for line in directives(text) if "hsts" in line or "max-age=63072000" in line}

    assert sent("mixed") == set()
    assert "add_header Strict-Transport-Security $header_hsts always;" in sent("foreign")
    assert any("max-age=63072000; includeSubDomains" in line for line in sent("foreign"))


@pytest.mark.parametrize(
    ("origin", "refused"),
    [
        ("https://shop.example.org", False),
        ("https://a.shop.example.org", False),
        ("https://a.b.shop.example.org", False),
        ("http://shop.example.org", True),
        ("https://shop.example.org:444", True),
        ("https://shop.example.org.attacker.example", True),
        ("https://attacker.example/.shop.example.org", True),
        ("https://attackershop.example.org", True),
        ("null", True),
        ("", True),
    ],
)
def test_the_origin_gate_lets_in_our_own_pages(rendered, origin, refused):
    lines = directives(rendered["foreign"]["edge"]["nginx/snippets/origins.conf"])
    entries = [re.fullmatch(r'"(.+)" 0;', line)[1] for line in lines[2 : lines.index("}")]]
    assert lines[1] == "default 1;"
    found = any(re.search(entry[1:], origin) if entry.startswith("~") else entry == origin for entry in entries)
    assert found is not refused


@pytest.mark.parametrize(("unknown", "upgrade", "refused"), [(1, "websocket", True), (1, "", False), (0, "websocket", False)])
def test_the_origin_gate_is_for_handshakes_alone(rendered, unknown, upgrade, refused):
    lines = directives(rendered["foreign"]["edge"]["nginx/snippets/origins.conf"])
    begin = lines.index('map "$origin_unknown $http_upgrade" $origin_refused {')
    assert lines[begin + 1] == "default 0;"
    pattern = re.fullmatch(r'"~(.+)" 1;', lines[begin + 2])[1]
    assert bool(re.search(pattern, f"{unknown} {upgrade}")) is refused


def test_the_gate_stands_before_every_websocket(nginx):
    lines = directives(nginx["snippets/websocket.conf"])
    assert lines[0] == "default_type text/plain;"
    assert lines[1] == "if ($origin_refused) {"
    assert lines[2].startswith("return 403 ")
