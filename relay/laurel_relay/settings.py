"""What the inventory says about this host: relay.json, rendered by the role `relay`."""

import json
import os
import time
from pathlib import Path

PATH = Path(os.environ.get("LAUREL_RELAY_SETTINGS", "/etc/laurel/relay.json"))


class Failed(Exception):
    """A step did not work; the message says why, `log` holds the last lines of whoever knows more."""

    def __init__(self, message, log=()):
        super().__init__(message)
        self.log = list(log)


def read():
    return json.loads(PATH.read_text())


def until(check, seconds, pause=0.1):
    """The first true value of `check()`, or its last false one after so many seconds."""
    end = time.monotonic() + seconds
    while not (value := check()) and time.monotonic() < end:
        time.sleep(pause)
    return value
