"""The channel layer in Django's terms: from the name of its kind and the addresses of its Redis servers."""

from urllib.parse import parse_qs, unquote, urlsplit

import redis

CONNECT_SECONDS = 2
READ_SECONDS = 10


def layer(kind, urls, prefix):
    """Return the CHANNEL_LAYERS entry of `pubsub`, `core` or `memory`; several `urls` are sharded by group."""
    if kind == "memory":
        return {"BACKEND": "channels.layers.InMemoryChannelLayer"}  # one process only: for tests
    config = {"hosts": [host(url) for url in urls], "prefix": prefix}
    if kind == "pubsub":
        # No Lua and no keys: PUBLISH, SUBSCRIBE and UNSUBSCRIBE are all it needs.
        return {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": config}
    # It asks Redis to hold each read for 5 s; redis-py itself gives up after 5.
    config["hosts"] = [known | {"socket_timeout": READ_SECONDS} for known in config["hosts"]]
    # The default capacity of 100 counts per process, not per socket.
    return {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": config | {"capacity": 10_000}}


def host(url):
    """Return what channels_redis wants to know of a server, or of a master that sentinels watch.

    redis+sentinel://user:password@first:26379/master?sentinel=second:26379&sentinel=third:26379&db=0
    (and sentinel_username, sentinel_password where the sentinels themselves ask for them)
    """
    if not url.startswith("redis+sentinel://"):
        return {"address": url, "socket_connect_timeout": CONNECT_SECONDS}
    parts, query = urlsplit(url), parse_qs(url.partition("?")[2])
    login = {"username": parts.username, "password": parts.password}
    sentinel_login = {"username": query.get("sentinel_username", [None])[0], "password": query.get("sentinel_password", [None])[0]}
    return {
        "sentinels": [(parts.hostname, parts.port or 26379), *map(_address, query.get("sentinel", []))],
        "master_name": unquote(parts.path.strip("/")),
        "db": int(query.get("db", ["0"])[0]),
        "socket_connect_timeout": CONNECT_SECONDS,
        "sentinel_kwargs": {"socket_connect_timeout": CONNECT_SECONDS, "socket_timeout": CONNECT_SECONDS, **_given(sentinel_login)},
        **_given({name: value and unquote(value) for name, value in login.items()}),
    }


def client(url, **options):
    """Return a redis.Redis for a server, or for the master that the sentinels name now."""
    known = host(url)
    if "address" in known:
        return redis.Redis.from_url(url, **{"socket_connect_timeout": CONNECT_SECONDS, **options})
    known |= options
    sentinel = redis.Sentinel(known.pop("sentinels"), sentinel_kwargs=known.pop("sentinel_kwargs"))
    return sentinel.master_for(known.pop("master_name"), **known)


def _address(text):
    name, _, port = text.rpartition(":")
    return name, int(port)


def _given(values):
    return {name: value for name, value in values.items() if value}
