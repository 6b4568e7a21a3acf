"""Redis where it has several hosts: one of them, really started with its Sentinel, and who may ask them what."""

import pytest

START = """
chown -R redis /etc/redis /var/lib/redis && install -d -o redis -g redis /run/redis /run/redis-sentinel
(umask 077 && printf '%s\\n' "$PEER" > /etc/redis/peer)
as() { setpriv --reuid redis --clear-groups "$@"; }
sh /usr/local/sbin/redis-leader follow
(as redis-server /etc/redis/redis.conf --supervised no > /tmp/redis.log 2>&1 &)
for i in $(seq 50); do redis-cli ping 2>&1 | grep -q NOAUTH && break; sleep 0.1; done
sh /usr/local/sbin/redis-leader watch
(as redis-server /run/redis-sentinel/sentinel.conf --sentinel --logfile "" > /tmp/sentinel.log 2>&1 &)
for i in $(seq 50); do redis-cli -p 26379 ping 2>&1 | grep -q NOAUTH && break; sleep 0.1; done
cat /tmp/redis.log /tmp/sentinel.log
"""
STOP = """pkill redis-server; for i in $(seq 50); do pgrep redis-server || break; sleep 0.1; done
rm -rf /run/redis /run/redis-sentinel /etc/redis/peer"""
SENTINEL = "-p 26379"


@pytest.fixture(scope="module")
def ask(host, workshop):
    """Run redis-cli as a user of Redis, or with SENTINEL of the Sentinel."""
    passwords = {name: (workshop / f"secrets/redis_{name}").read_text().strip() for name in ("password", "peer_password")}
    code, said = host.run(f"PEER={passwords['peer_password']}\n{START}", "ha", "data")
    assert code == 0, said
    whose = {"channels": "password", "finder": "password", "sentinel": "peer_password", "replica": "peer_password"}

    def ask(user, command, where=""):
        login = f"REDISCLI_AUTH={passwords[whose[user]]} redis-cli {where} --user {user} --no-auth-warning"
        return host.run(f"{login} {command}")[1].strip()

    yield ask
    host.run(STOP)


def test_the_first_host_leads_where_no_sentinel_answers_yet(ask):
    assert "role:master" in ask("sentinel", "info replication")
    assert ask("finder", "sentinel get-master-addr-by-name laurel", SENTINEL).split() == ["198.18.250.31", "6379"]


def test_the_others_follow_it(ask, host, workshop):
    password = (workshop / "secrets/redis_peer_password").read_text().strip()
    elsewhere = "sed -i 's/^here=.*/here=198.18.250.32/' /usr/local/sbin/redis-leader"
    code, said = host.run(f"{elsewhere}; sh /usr/local/sbin/redis-leader follow; cat /run/redis/leader.conf")
    assert code == 0 and said.split() == ["masteruser", "replica", "masterauth", password, "replicaof", "198.18.250.31", "6379"]
    assert host.run("stat --format '%U %a' /run/redis/leader.conf /run/redis-sentinel/sentinel.conf")[1].split() == ["redis", "600"] * 2


def test_two_of_three_sentinels_agree(ask):
    said = ask("finder", "sentinel master laurel", SENTINEL).split("\n")
    about = dict(zip(said[::2], said[1::2], strict=True))
    assert (about["quorum"], about["down-after-milliseconds"], about["failover-timeout"]) == ("2", "3000", "10000")


@pytest.mark.parametrize(
    ("user", "command", "allowed"),
    [
        ("channels", "publish laurel__group__room hello", True),
        ("channels", "replicaof no one", False),
        ("channels", "info", False),
        ("replica", "replconf listening-port 6379", True),
        ("replica", "subscribe __sentinel__:hello", False),
        ("replica", "get a", False),
        ("sentinel", "role", True),
        ("sentinel", "publish __sentinel__:hello x", True),
        ("sentinel", "publish laurel__group__room x", False),
        ("sentinel", "config set dir /tmp", False),
        ("sentinel", "get a", False),
        ("sentinel", "eval 'return 1' 0", False),
    ],
)
def test_who_may_do_what_on_a_server(ask, user, command, allowed):
    assert ("NOPERM" not in ask(user, f"-e {command}")) == allowed


@pytest.mark.parametrize(
    ("user", "command", "allowed"),
    [
        ("finder", "sentinel masters", True),
        ("finder", "sentinel failover laurel", False),
        ("finder", "sentinel set laurel quorum 1", False),
        ("finder", "sentinel remove laurel", False),
        ("finder", "info", False),
        ("sentinel", "info", True),
        ("sentinel", "sentinel set laurel quorum 1", False),
        ("sentinel", "acl list", False),
    ],
)
def test_who_may_ask_a_sentinel_what(ask, user, command, allowed):
    said = ask(user, command, SENTINEL)
    assert ("NOPERM" not in said) == allowed and "WRONGPASS" not in said


def test_the_application_is_told_of_all_sentinels_and_how_to_log_in_there(rendered):
    text = rendered["ha"]["app1"]["ansible/roles/release/templates/environment"]
    url = text.partition("REDIS_URL=")[2].split("\n")[0].strip('"')
    assert url.startswith("redis+sentinel://channels:")
    place, _, query = url.partition("@")[2].partition("?")
    assert place == "198.18.250.31:26379/laurel"
    words = query.split("&")
    assert words[:3] == ["sentinel_username=finder", "sentinel=198.18.250.32:26379", "sentinel=198.18.250.33:26379"]
    assert words[3].startswith("sentinel_password=") and len(words) == 4


def test_with_one_host_nothing_of_it_is_there(rendered):
    texts = rendered["mixed"]
    assert "REDIS_URL=redis://channels:" in texts["app1"]["ansible/roles/release/templates/environment"].replace('"', "")
    assert "replica" not in texts["data"]["ansible/roles/redis/templates/redis.conf"]
    assert "redis-leader" not in texts["data"]["ansible/roles/redis/templates/redis-server.conf"]
    assert "user replica" not in texts["data"]["ansible/roles/redis/templates/users.acl"]
