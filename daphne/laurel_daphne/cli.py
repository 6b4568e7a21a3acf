"""Daphne's command line with the launcher's flags added."""

# First: this installs the asyncio reactor, and whatever imports `twisted.internet.reactor` before would
# install another one.
import daphne.cli  # isort:skip

import faulthandler
import signal
from functools import partial

from laurel_daphne import handover, logs, metrics
from laurel_daphne.server import Server


def address(text):
    """HOST:PORT as a pair; an IPv6 host goes in brackets."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise daphne.cli.argparse.ArgumentTypeError(f"{text!r}: expected HOST:PORT, such as 127.0.0.1:9101")
    return host.strip("[]"), int(port)


class CommandLine(daphne.cli.CommandLineInterface):
    """Accepts what `daphne` accepts and the flags below, then runs the launcher's server."""

    description = "Daphne with drain, backpressure, JSON logs, metrics and systemd readiness"

    def __init__(self):
        super().__init__()
        self.parser.prog = "laurel_daphne"
        drain = self.parser.add_argument_group("drain (SIGTERM: drain and exit; SIGUSR1: drain and stay; SIGUSR2: a successor, then drain)")
        drain.add_argument(
            "--drain-batch",
            type=int,
            default=5,
            metavar="SOCKETS",
            help="WebSockets closed at a time with 1012 (5); grows when the limit asks for it",
        )
        drain.add_argument(
            "--drain-interval", type=float, default=0.5, metavar="SECONDS", help="Mean pause between two batches, jittered by half (0.5)"
        )
        drain.add_argument(
            "--drain-limit", type=float, default=10, metavar="SECONDS", help="All close frames are sent within this time (10)"
        )
        drain.add_argument(
            "--drain-grace",
            type=float,
            default=10,
            metavar="SECONDS",
            help="What consumers and HTTP requests in flight get after the last close frame (10)",
        )

        drain.add_argument(
            "--handover-directory", default=".", metavar="FOLDER", help="Where a successor starts; a link can lead to a new release (.)"
        )
        drain.add_argument(
            "--handover-timeout", type=float, default=30, metavar="SECONDS", help="A successor that does not listen by then is ended (30)"
        )

        sockets = self.parser.add_argument_group("connections")
        sockets.add_argument(
            "--websocket-handshake-timeout",
            type=float,
            default=None,
            metavar="SECONDS",
            help="Time for the application to accept a WebSocket, then 504 (as --websocket_connect_timeout)",
        )
        sockets.add_argument(
            "--websocket-opening",
            type=int,
            default=0,
            metavar="SOCKETS",
            help="WebSockets that may wait for the application to accept them; more are answered 429 with Retry-After (0: any number)",
        )
        sockets.add_argument(
            "--websocket-close-timeout", type=float, default=5, metavar="SECONDS", help="Time for a client to answer a close frame (5)"
        )
        sockets.add_argument(
            "--send-timeout",
            type=float,
            default=30,
            metavar="SECONDS",
            help="A client that reads nothing for this long is cut; WebSockets with 1013 (30)",
        )
        sockets.add_argument(
            "--websocket-receive-buffer",
            type=int,
            default=1024 * 1024,
            metavar="BYTES",
            help="Messages the application has not taken yet; above it the socket is not read (1 MiB)",
        )
        sockets.add_argument(
            "--backlog",
            type=int,
            default=1024,
            metavar="CONNECTIONS",
            help="Connections waiting for accept(), for sockets that we open ourselves (1024)",
        )
        sockets.add_argument(
            "--http-keepalive",
            type=int,
            default=75,
            metavar="SECONDS",
            help="Close idle HTTP connections after this; longer than the proxy's own (75)",
        )

        watch = self.parser.add_argument_group("watching")
        watch.add_argument(
            "--log-style",
            choices=["json", "daphne"],
            default="json",
            help="JSON lines on standard error, or Daphne's own two formats (json)",
        )
        watch.add_argument(
            "--metrics-address",
            type=address,
            default=None,
            metavar="HOST:PORT",
            help="Serve Prometheus metrics here (off); --instance is added to the port",
        )
        watch.add_argument("--instance", default="", metavar="NUMBER", help="Names this process in its log lines")

    def run(self, args):
        options = self.parser.parse_args(args)
        faulthandler.enable()  # the watchdog's SIGABRT then leaves every thread's traceback in the journal
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)  # until the server listens, the default would kill us
        if options.log_style == "json":
            logs.configure(options.verbosity, options.instance)
        if options.metrics_address:
            metrics.serve(*self.metrics_address(options), patient=handover.being_succeeded())
        self.server_class = partial(Server, options=options)
        super().run(args)

    def metrics_address(self, options):
        host, port = options.metrics_address
        if options.instance and not options.instance.isdigit():
            self.parser.error(f"--instance {options.instance!r}: must be a number with --metrics-address")
        return host, port + int(options.instance or 0)
