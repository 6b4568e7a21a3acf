"""`make demo-sensor`: what the load host is given to publish readings."""

import json
import os
import shlex

from . import vault
from .console import Failure
from .inventory import hosts_by_group, load
from .paths import ROOT, inventory

USER, PORT = "sensor", 8883


def command() -> str:
    """The program itself goes along: nothing is installed on the load host."""
    return "python3 -c " + shlex.quote((ROOT / "mqtt/sensor.py").read_text())


def wanted(environment: str) -> str:
    """What mqtt/sensor.py reads from standard input; the password travels there, not on a command line."""
    folder = inventory(environment)
    groups = hosts_by_group(folder)
    secret = vault.mqtt_password(environment, next(iter(groups["mosquitto"])), USER) if "mosquitto" in groups else None
    if secret is None:
        raise Failure(f"there is no MQTT broker in {environment} yet; deploy first: make deploy")
    readings = os.environ.get("READINGS", "20")
    if not readings.isdigit():
        raise Failure(f"READINGS is {readings!r}; expected a number, as in: make demo-sensor READINGS=20")
    host = next(iter(groups["mosquitto"]))
    cluster = load(environment)
    return json.dumps(
        {
            "host": cluster.hosts[host] if cluster else host, "port": PORT, "ca": (folder / "pki/ca.crt").read_text(),
            "user": USER, "password": secret,
            "room": os.environ.get("ROOM") or "bench", "count": int(readings), "pause": 1,
        }
    )  # fmt: skip
