"""What systemd wants to know: https://www.freedesktop.org/software/systemd/man/sd_notify.html.

Daphne has a `ready_callable` but no way to set it: https://github.com/django/daphne/pull/468.
"""

import os
import socket

from laurel_daphne.logs import logger


class Notifier:
    """Sends states to the socket in NOTIFY_SOCKET; does nothing where there is none."""

    def __init__(self, environment=os.environ):
        self.address = environment.get("NOTIFY_SOCKET", "")
        if self.address.startswith("@"):
            self.address = "\0" + self.address[1:]  # the abstract namespace
        pid = environment.get("WATCHDOG_PID", str(os.getpid()))
        microseconds = environment.get("WATCHDOG_USEC", "0") if pid == str(os.getpid()) else "0"
        # Twice in each period, so that one late beat does not kill us.
        self.beat_seconds = int(microseconds) / 2_000_000 if self.address else 0

    def retire(self):
        """Says nothing from now on."""
        self.address, self.beat_seconds = "", 0

    def send(self, **state):
        """`send(READY=1, STATUS="…")`. A lost notice is logged, never raised."""
        if not self.address:
            return
        text = "\n".join(f"{name}={value}" for name, value in state.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
                connection.connect(self.address)
                connection.sendall(text.encode())
        except OSError as error:
            logger.warning("systemd was not told %r: %s", text, error)
