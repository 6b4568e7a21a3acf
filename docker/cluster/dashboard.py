"""`make dashboard`: a way to the page that Prometheus serves on its own host."""

import contextlib
import os
import socket
import subprocess
import time

from . import inventory, remote, settings
from .console import Failure, say
from .paths import inventory as folder_of
from .settings import Settings


def open_way(chosen: Settings) -> int:
    """A way to the dashboard, which listens on loopback of its host, for as long as this runs."""
    groups, port = inventory.hosts_by_group(folder_of(chosen.environment)), os.environ.get("DASHBOARD_PORT") or "9090"
    if not groups.get("monitoring"):
        raise Failure(
            f"the inventory {chosen.environment!r} has no host in the group monitoring; write one into hosts.yml, then: make deploy"
        )
    settings.port("DASHBOARD_PORT", port)
    host = next(iter(groups["monitoring"]))
    if (remote.read(chosen.environment, host, "systemctl is-active prometheus") or "").strip() != "active":
        raise Failure(f"Prometheus does not run on {host}; see: make logs HOST={host} UNIT=prometheus, and deploy first: make deploy")
    try:
        socket.create_server(("127.0.0.1", int(port))).close()
    except OSError as error:
        raise Failure(f"the port {port} is taken on this machine; choose another: make dashboard DASHBOARD_PORT=9190") from error
    far = inventory.variables(chosen.environment, host)["monitoring_ports"]["prometheus"]
    way = ["-o", "ExitOnForwardFailure=yes", "-o", "ControlPath=none", "-N", "-L", f"127.0.0.1:{port}:127.0.0.1:{far}"]
    command = remote.argv(chosen.environment, host)
    with subprocess.Popen([command[0], *way, *command[1:]]) as tunnel:
        for _ in range(50):
            if tunnel.poll() is not None:
                raise Failure(f"no way to {host} can be made (see above); does it answer? make status")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), 1):
                break
            time.sleep(0.1)
        say(f"Dashboard: http://localhost:{port}/user/   Prometheus: http://localhost:{port}/   (ctrl-C ends the way there)")
        try:
            return tunnel.wait()
        except KeyboardInterrupt:
            tunnel.terminate()
            return 0
