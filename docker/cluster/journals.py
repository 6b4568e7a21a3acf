"""`make logs`: a host's journal, or with REQUEST= the way of one request through every host."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import inventory, remote
from .console import Failure, say
from .paths import inventory as folder_of

REQUEST = re.compile(r"[0-9a-f]{32}")  # nginx's $request_id
LOOK = """sudo sh -c 'grep -hs {request} /var/log/nginx/access.log /var/log/nginx/access.log.1 /var/log/nginx/error.log | sed "s/^/nginx /";
journalctl --no-pager --output=json --grep={request} --since="{since}" 2>/dev/null'"""
SECONDS = 60


def trace(environment: str, request: str, since: str = "-1 day") -> list[dict[str, Any]]:
    """What every host says of a request: [{time, host, unit, text}], in the order of time. Raises Failure."""
    if not REQUEST.fullmatch(request):
        raise Failure(f"REQUEST is {request!r}; expected the 32 hex digits of an X-Request-ID, as each answer carries it")
    groups = inventory.hosts_by_group(folder_of(environment))
    hosts = list(dict.fromkeys([*groups["nginx"], *groups["app"]]))
    script = LOOK.format(request=request, since=since)
    with ThreadPoolExecutor(len(hosts)) as pool:
        said = dict(zip(hosts, pool.map(lambda host: remote.read(environment, host, script, SECONDS), hosts), strict=True))
    if silent := [host for host, text in said.items() if text is None]:
        say(f"  {', '.join(silent)} did not answer")
    found = [line for host, text in said.items() for raw in (text or "").splitlines() if (line := read(host, raw, request))]
    # nginx's line is the whole of the request, with a stamp of seconds; the others are in the order in which they were written.
    return sorted(found, key=lambda line: (line["unit"] != "nginx", line["time"]))


def read(host: str, raw: str, request: str) -> dict[str, Any] | None:
    """A line of nginx's log, or an entry of the journal; None for what only quotes the id, such as the command that looks for it."""
    if raw.startswith("nginx "):
        text, unit, stamp = raw.removeprefix("nginx "), "nginx", 0.0
    else:
        try:
            entry = json.loads(raw)
        except ValueError:
            return None
        text, unit = str(entry.get("MESSAGE", "")), entry.get("_SYSTEMD_UNIT", "?").removesuffix(".service")
        stamp = int(entry.get("__REALTIME_TIMESTAMP", 0)) / 1e6
    line = {"time": stamp, "host": host, "unit": unit, "text": text}
    try:
        return line if json.loads(text).get("request_id") == request else None
    except (ValueError, AttributeError):
        return line if unit == "nginx" else None  # nginx's error log is no JSON


def show(environment: str, request: str) -> int:
    """Print its way; 1 where nobody knows of it."""
    lines = trace(environment, request)
    for line in lines:
        say(f"{line['host']:<8} {line['unit']:<12} {line['text']}")
    if not lines:
        say("No host knows of it in the last day.")
    return 0 if lines else 1
