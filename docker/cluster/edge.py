"""The deployed application as its users reach it: through the edge, over TLS, with the environment's CA."""

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any

from . import inventory
from .paths import inventory as folder_of

SECONDS = 10


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def address(environment: str) -> tuple[str, int]:
    """Where the edge listens for HTTPS: its address and port."""
    cluster = inventory.load(environment)
    edge = next(iter(inventory.hosts_by_group(folder_of(environment))["nginx"]))
    if cluster:
        return cluster.hosts[edge], cluster.ports["HTTPS_PORT"]
    values: dict[str, Any] = inventory.variables(environment, edge)
    return values.get("ansible_host", edge), int(values.get("public_https_port", 443))


def context(environment: str) -> ssl.SSLContext:
    authority = folder_of(environment) / "pki" / "ca.crt"
    return ssl.create_default_context(cafile=str(authority) if authority.is_file() else None)


def get(environment: str, path: str) -> Answer:
    """GET a path from the edge. Raises OSError (refused, timed out, bad certificate) where it does not answer."""
    host, port = address(environment)
    connection = http.client.HTTPSConnection(host, port, timeout=SECONDS, context=context(environment))
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, response.read())
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP answer: {error!r}") from error
    finally:
        connection.close()


def health(environment: str, paths: dict[str, str]) -> dict[str, str]:
    """What the health paths say, as {name: "200" or why not}."""
    said = {}
    for name, path in paths.items():
        try:
            answer = get(environment, path)
        except OSError as error:
            said[name] = f"no answer ({error})"
            continue
        said[name] = "200" if answer.status == 200 else f"{answer.status} {answer.body[:300].decode(errors='replace').strip()}"
    return said


def release(environment: str, path: str) -> str:
    try:
        return json.loads(get(environment, path).body).get("release", "unknown")
    except (OSError, ValueError, AttributeError):
        return "unknown"
