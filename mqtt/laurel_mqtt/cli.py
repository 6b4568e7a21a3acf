"""The command line. Each flag can also come from the environment, so that a unit's file holds it."""

import argparse
import asyncio
import faulthandler
import importlib
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from laurel_mqtt import watching
from laurel_mqtt.server import ApplicationError, Server

PORTS = {"mqtt": 1883, "mqtts": 8883}


def load(name):
    """Return the object that `path.to.module:name` names."""
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise argparse.ArgumentTypeError(f"{name!r}: expected path.to.module:application")
    return module, attribute


def broker(text):
    """Return (whether TLS, host, port) of mqtts://host:8883."""
    url = urlsplit(text)
    if url.scheme not in PORTS or not url.hostname or url.username:
        raise argparse.ArgumentTypeError(f"{text!r}: expected mqtts://HOST:PORT or mqtt://HOST:PORT, without a user")
    return url.scheme == "mqtts", url.hostname, url.port or PORTS[url.scheme]


def parser(environment=os.environ):
    result = argparse.ArgumentParser(
        "laurel_mqtt", description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )

    def flag(name, meaning, kind=str, default=None, metavar=None):
        variable = "MQTT_" + name.upper().replace("-", "_")
        metavar = metavar or {int: "NUMBER", float: "SECONDS"}.get(kind, "TEXT")
        value = environment.get(variable, default)
        result.add_argument(f"--{name}", type=kind, default=value, metavar=metavar, help=f"{meaning}; {variable}")

    result.add_argument("application", type=load, help="path.to.module:application")
    flag("broker", "where the broker is", broker, "mqtt://127.0.0.1:1883", "URL")
    flag("ca", "certificates that the broker's must be signed by, as a PEM file; the system's otherwise", metavar="FILE")
    flag("username", "who we are to the broker")
    flag("password-file", "file with the password; MQTT_PASSWORD is the password itself", metavar="FILE")
    flag("client-id", "name of the session; one process at a time may use it", default="laurel")
    flag("keepalive", "seconds without a packet after which each side looks whether the other lives", int, 30)
    flag("session-expiry", "seconds that the broker keeps the session of a server that is away", int, 604_800)
    flag("receive-maximum", "QoS 1 messages that may wait for their acknowledgement", int, 500)
    flag("publish-window", "messages of ours that may wait for the broker's acknowledgement", int, 500)
    flag("queue-limit", "QoS 0 messages that may wait for the application; more are dropped and counted", int, 10_000)
    flag("connect-timeout", "the broker must have accepted us by then", float, 10)
    flag("backoff-limit", "longest pause between two attempts to connect", float, 30)
    flag("grace", "what the application gets at the end to finish what it has taken", float, 10)
    flag("log-level", "DEBUG, INFO, WARNING or ERROR", default="INFO")
    return result


def options_of(arguments=None, environment=os.environ):
    options = parser(environment).parse_args(arguments)
    options.tls, options.host, options.port = options.broker
    options.password = environment.get("MQTT_PASSWORD")
    if options.password_file:
        options.password = Path(options.password_file).read_text().strip()
    return options


def main(arguments=None):
    options = options_of(arguments)
    faulthandler.enable()  # the watchdog's SIGABRT then leaves every thread's traceback in the journal
    watching.configure(options.log_level)
    sys.path.insert(0, os.getcwd())
    module, attribute = options.application
    application = getattr(importlib.import_module(module), attribute)
    try:
        asyncio.run(Server(application, options).run())
    except ApplicationError as error:
        watching.logger.error("%s", error, exc_info=error.__cause__)
        return 1
    return 0
