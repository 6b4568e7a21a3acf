"""The listening sockets: a backlog for those that we open, the right family for those that are handed to us."""

import os
import socket

from twisted.internet import endpoints

OURS = ("tcp", "tcp4", "tcp6", "unix", "ssl")


def with_backlog(description, backlog):
    """Daphne has no flag for the backlog and Twisted's default is 50: too few for a storm of reconnects."""
    kind, _, rest = description.partition(":")
    return f"{description}:backlog={backlog}" if kind in OURS and "backlog=" not in rest else description


def from_string(reactor, description):
    """Twisted's `serverFromString`, with errors that say what to do.

    Daphne's `--fd` takes every socket for IPv4, so that a Unix socket resets each connection
    (https://github.com/django/daphne/issues/287), and `domain=INET` would do the same to an IPv6 one.
    """
    try:
        endpoint = endpoints.serverFromString(reactor, description)
        if isinstance(endpoint, endpoints.AdoptedStreamServerEndpoint):
            endpoint.addressFamily = family(endpoint.fileno)
    except (IndexError, KeyError):
        raise SystemExit(f"{description}: systemd passed no such socket. Start the .socket unit first, or listen with -p PORT.") from None
    except OSError as error:
        raise SystemExit(f"{description}: expected a listening socket there: {error}") from None
    return endpoint


def family(fileno):
    with socket.socket(fileno=os.dup(fileno)) as inherited:
        return inherited.family
