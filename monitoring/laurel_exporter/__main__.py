"""`python3 -m laurel_exporter --listen HOST:PORT …`: answers /metrics. On the standard library alone."""

import argparse
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from . import files, units, uwsgi
from .requests import Requests
from .text import Family, page


def collectors(options):
    """What to ask at each scrape."""
    found = [lambda: units.families(options.unit)]
    if options.uwsgi:
        found.append(lambda: uwsgi.families(options.uwsgi))
    if options.access_log:
        requests = Requests(options.access_log, options.stream)
        threading.Thread(target=requests.follow, daemon=True).start()
        found.append(requests.families)
    if options.certificate:
        found.append(lambda: files.certificates(options.certificate))
    if options.backup_mark:
        found.append(lambda: files.backups(options.backup_mark))
    return found


def collected(wanted):
    """All of it; one that fails is counted, and the others are told all the same."""
    failed, told = Family("laurel_exporter_failures", "gauge", "Collectors that failed at this scrape"), []
    count = 0
    for collector in wanted:
        try:
            told += collector()
        except Exception:
            logging.exception("not collected")
            count += 1
    return page([*told, failed.add(count)])


def handler(wanted):
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self):
            if self.path != "/metrics":
                self.send_error(404, "expected /metrics")
                return
            body = collected(wanted).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


def main():
    parser = argparse.ArgumentParser(prog="laurel_exporter", description=__doc__)
    parser.add_argument("--listen", required=True, metavar="HOST:PORT")
    parser.add_argument("--unit", action="append", default=[], help="a unit or a pattern of units; may be repeated")
    parser.add_argument("--uwsgi", metavar="SOCKET", help="uWSGI's stats socket")
    parser.add_argument("--access-log", metavar="FILE", help="nginx's log, as Laurel's log_format writes it")
    parser.add_argument("--stream", action="append", default=[], metavar="REGEX", help="a path whose answers go on; may be repeated")
    parser.add_argument("--certificate", action="append", default=[], metavar="FILE")
    parser.add_argument("--backup-mark", metavar="FILE")
    options = parser.parse_args()
    host, _, port = options.listen.rpartition(":")
    ThreadingHTTPServer((host, int(port)), handler(collectors(options))).serve_forever()


if __name__ == "__main__":
    main()
