"""The command-line arguments of all scenarios. Locust shows them in its web UI under "Custom parameters"."""

from typing import Any

from locust import events
from locust.argument_parser import LocustArgumentParser

from .pacing import PACINGS

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

    # Chat
    add("--transport", choices=("websocket", "polling"), default="websocket", help="how chat users send and receive")
    add("--rooms", type=int, default=2, help="rooms that the chat users spread over")
    add("--poll-interval", type=float, default=1.0, help="seconds between two polls of a chat user")
    add(
        "--sessions-file",
        default="",
        help="file with one session cookie a line; empty: each chat user signs up and logs in by itself",
    )

    # Measured run
    add("--warm-up", type=float, default=0.0, help="seconds of load before the measured window")
    add("--measure", type=float, default=0.0, help="seconds of the measured window, then quit; 0 runs until stopped")
    add("--result-file", default="", help="write histograms and counters to this JSON file at the end")
