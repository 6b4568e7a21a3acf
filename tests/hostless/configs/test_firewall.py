"""The firewall of each host, rendered from the declared flows."""

import re

import pytest

APP, EDGE, LOAD, ANY = {"198.18.250.21", "198.18.250.22"}, {"198.18.250.11"}, {"198.18.250.41"}, "any"
WATCHED = {9100: LOAD, 9110: LOAD}  # the load host is the monitoring host, too
HOSTS = ("edge", "app1", "app2", "data", "load")
PATH = "ansible/roles/common/templates/firewall.nft"


def let_in(text):
    """Who is let in where: {port: "any" or a set of addresses}."""
    found = {}
    for sources, ports in re.findall(r"^\s+(?:ip saddr \{ (.+?) \} )?tcp dport \{ (.+?) \} accept$", text, re.MULTILINE):
        for port in ports.split(", "):
            found[int(port)] = found.get(int(port), set()) | set(sources.split(", ")) if sources else ANY
    return found


@pytest.mark.parametrize("name", HOSTS)
def test_nft_accepts_the_rules(host, variant, name):
    code, said = host.run("nft --check --file /etc/laurel/firewall.nft", variant, name)
    assert code == 0, said


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("edge", {22: ANY, 8080: ANY, 8443: ANY, **WATCHED}),
        ("app1", {22: ANY, 3031: EDGE, 9001: EDGE, 9002: EDGE, 9201: LOAD, 9202: LOAD, **WATCHED}),
        ("app2", {22: ANY, 3031: EDGE, 9001: EDGE, 9002: EDGE, 9201: LOAD, 9202: LOAD, **WATCHED}),
        ("data", {22: ANY, 5432: APP, 6379: APP, 8883: APP | LOAD, 9121: LOAD, 9187: LOAD, **WATCHED}),
        ("load", {22: ANY, 8089: ANY, 5557: LOAD, **WATCHED}),
    ],
)
def test_a_host_lets_in_only_who_has_business_there(rendered, name, expected):
    assert let_in(rendered["mixed"][name][PATH]) == expected


@pytest.mark.parametrize("name", HOSTS)
def test_everything_else_is_dropped(files, name):
    text = files[name][PATH]
    assert "type filter hook input priority 0; policy drop;" in text
    accepts = [line.strip() for line in text.splitlines() if line.strip().endswith("accept") and "tcp dport" not in line]
    assert accepts == ["iif lo accept", "ct state established,related accept", "meta l4proto { 1, 58 } accept"]


@pytest.mark.parametrize("name", HOSTS)
def test_rules_of_others_are_left_alone(files, name):
    assert not re.search(r"^\s*flush ", files[name][PATH], re.MULTILINE)
    assert re.findall(r"^(?:delete )?table (.+?)(?: \{)?$", files[name][PATH], re.MULTILINE) == ["inet laurel"] * 3
