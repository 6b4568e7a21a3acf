"""Requests by status class, and how long they took, from nginx's log as it grows."""

import bisect
import json
import os
import re
import threading
import time
from pathlib import Path

from .text import Family

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
LOOK_SECONDS = 1
LAST_LOOKS = 3  # at a log that was moved away, before the new one is read
SWITCHING = 101  # a WebSocket: its line comes at its end, and tells its life


class Requests:
    """Follows a log; a file that is rotated away is read to its end. `streams` are paths whose answers go on."""

    def __init__(self, path, streams):
        self.path, self.streams = path, [re.compile(pattern) for pattern in streams]
        self.counts = {f"{family}xx": 0 for family in range(1, 6)}
        self.buckets, self.seconds, self.upstream_failures = [0] * (len(BUCKETS) + 1), 0.0, 0
        self.lock = threading.Lock()

    def take(self, line):
        try:
            entry = json.loads(line)
            status, seconds = int(entry["status"]), float(entry["duration_s"])
        except (ValueError, KeyError, TypeError):
            return
        with self.lock:
            family = f"{status // 100}xx"
            self.counts[family] = self.counts.get(family, 0) + 1
            # More than one address: the first did not answer.
            self.upstream_failures += str(entry.get("upstream", "")).count(",")
            if status != SWITCHING and not any(stream.search(str(entry.get("path", ""))) for stream in self.streams):
                self.buckets[bisect.bisect_left(BUCKETS, seconds)] += 1
                self.seconds += seconds

    def follow(self):
        """For ever, from the end of the log on; a log that comes later is read from its beginning."""
        file, rest, last_looks = self.opened(at_end=True), b"", LAST_LOOKS
        while True:
            part = file.read(65536) if file else b""
            if part:
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    self.take(line)
                continue
            if file is None:
                file, rest = self.opened(), b""
            elif self.moved(file):
                last_looks -= 1  # nginx writes into the old one until it is told
                if not last_looks:
                    file.close()
                    file, rest, last_looks = self.opened(), b"", LAST_LOOKS
            if file is None or not part:
                time.sleep(LOOK_SECONDS)

    def opened(self, at_end=False):
        try:
            file = Path(self.path).open("rb")  # noqa: SIM115  # for as long as it is the log
        except OSError:
            return None
        if at_end:
            file.seek(0, os.SEEK_END)
        return file

    def moved(self, file):
        """Whether another file lies there now, or this one was cut."""
        try:
            there = os.stat(self.path)
        except OSError:
            return True
        here = os.fstat(file.fileno())
        return there.st_ino != here.st_ino or here.st_size < file.tell()

    def families(self):
        requests = Family(
            "laurel_http_requests_total", "counter", "Requests that nginx answered, by status class; a WebSocket counts at its end"
        )
        seconds = Family("laurel_http_request_seconds", "histogram", "Duration of requests, without streams and WebSockets")
        failures = Family("laurel_http_upstream_failures_total", "counter", "Servers that did not answer, so that the next was asked")
        with self.lock:
            for status, count in self.counts.items():
                requests.add(count, status=status)
            total = 0
            for bound, count in zip((*BUCKETS, "+Inf"), self.buckets, strict=True):
                total += count
                seconds.add(total, "_bucket", le=bound)
            seconds.add(self.seconds, "_sum").add(total, "_count")
            failures.add(self.upstream_failures)
        return [requests, seconds, failures]
