"""The command-line arguments of all scenarios. Locust shows them in its web UI under "Custom parameters".

Rates are per Locust user that paces: what is offered in all is the rate times `-u`. A crowd comes on top of `-u`; in the
web UI, which asks for the number of all users, it is one of them.
"""

from typing import Any

from locust import events
from locust.argument_parser import LocustArgumentParser

from .pacing import PACINGS

TRANSPORTS = ("websocket", "sse", "long-polling", "polling", "iframe", "refresh", "mqtt")

NAMES: list[str] = []
"""The names of the options below, as attributes of `environment.parsed_options`."""


@events.init_command_line_parser.add_listener
def add_arguments(parser: LocustArgumentParser, **_: Any) -> None:
    # No argument groups: they would hide the arguments from the web UI.
    def add(flag: str, **options: Any) -> None:
        NAMES.append(parser.add_argument(flag, **options).dest)

    # Pacing
    add("--request-rate", type=float, default=1.0, help="requests per second of each pages user (offered, open model)")
    add("--message-rate", type=float, default=0.2, help="messages per second that each chat user publishes")
    add(
        "--pacing",
        choices=PACINGS,
        default="poisson",
        help="poisson: open arrivals; constant: one timetable per user that catches up",
    )
    add("--in-flight", type=int, default=50, help="open requests per user before arrivals are dropped")
    add("--seed", type=int, default=0, help="seed of the arrival times; 0 takes a new one each run")

    # Pages
    add(
        "--mix",
        default="json=4 row=3 rows=1 write=1 page=1",
        help="pages and their weights, for instance 'json=4 page=1'",
    )

    # Static files, slow pages, one page
    add("--paths", default="", help="static files to ask for, with blanks between; empty: those that the front page names")
    add("--fast-rate", type=float, default=1.0, help="fast pages per second of each slow user")
    add("--slow-rate", type=float, default=0.2, help="slow pages per second of each slow user")
    add("--slow-path", default="/workload/slow-sync", help="the slow page: /workload/slow-sync or /workload/slow-async")
    add("--path", default="/workload/json", help="what raw users ask for")
    add("--expect-body", default="", help="the body that raw users expect; empty: any body")
    add("--http", choices=("1.1", "2"), default="1.1", help="the HTTP version of raw users")
    add("--connections", choices=("keep", "close"), default="keep", help="raw users: keep connections, or one a request")

    # Messages
    add("--transport", choices=TRANSPORTS, default="websocket", help="how messages are received")
    add("--rooms", type=int, default=2, help="rooms that readers spread over")
    add("--members", type=int, default=0, help="sockets of the crowd, all of its users together")
    add("--probes", type=int, default=0, help="readers whose delay is measured, in all; 0: one per user")
    add("--subscribers", type=int, default=0, help="push: readers in all; 0: one per user")
    add("--poll-interval", type=float, default=1.0, help="seconds between two polls")
    add("--storm-rate", type=float, default=1.0, help="isolation: messages per second of each user into the crowd's rooms")
    add("--storm-members", type=int, default=0, help="isolation: sockets of the crowd; 0: no storm")
    add("--cut", choices=("client", "none"), default="client", help="storm: the crowd drops its sockets, or something else does")
    add("--source-addresses", default="", help="source addresses of the crowd, with blanks between; each has about 28,000 ports")
    add(
        "--sessions-file",
        default="",
        help="sessions as `manage.py demo_users --sessions` prints them; empty: users sign up by themselves",
    )

    # MQTT
    add("--mqtt-host", default="", help="the MQTT broker; empty: the host under test")
    add("--mqtt-port", type=int, default=8883, help="its port; TLS unless it is 1883")
    add("--mqtt-user", default="sensor", help="its user")
    add("--mqtt-password-file", default="", help="file with that user's password")

    # Measured run
    add("--warm-up", type=float, default=0.0, help="seconds of load before the measured window")
    add("--measure", type=float, default=0.0, help="seconds of the measured window, then quit; 0 runs until stopped")
    add("--result-file", default="", help="write histograms and counters to this JSON file at the end")
