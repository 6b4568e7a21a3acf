"""What others see of the process: JSON lines on standard error, and what systemd wants to know.

https://www.freedesktop.org/software/systemd/man/sd_notify.html
"""

import json
import logging
import os
import socket
import time

logger = logging.getLogger("laurel_mqtt")


class JsonFormatter(logging.Formatter):
    """One line of JSON a record, with the field names that the application uses too."""

    def format(self, record):
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": None,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(level):
    """Log JSON through the root. An application that configures logging itself may replace it."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler])


class Notifier:
    """Sends states to the socket in NOTIFY_SOCKET; does nothing where there is none."""

    def __init__(self, environment=os.environ):
        self.address = environment.get("NOTIFY_SOCKET", "")
        if self.address.startswith("@"):
            self.address = "\0" + self.address[1:]  # the abstract namespace
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = int(environment.get("WATCHDOG_USEC", "0")) if ours else 0
        # Twice in each period, so that one late beat does not kill us.
        self.beat_seconds = microseconds / 2_000_000 if self.address else 0

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
