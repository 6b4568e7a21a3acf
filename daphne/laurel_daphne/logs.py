"""JSON lines on standard error: the access log, and everything that goes through `logging`."""

import json
import logging
import sys
import time

LEVELS = {0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG, 3: logging.DEBUG}
logger = logging.getLogger("daphne.launcher")


def timestamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"


class JsonFormatter(logging.Formatter):
    """One line of JSON a record, with the field names that the application uses too."""

    def __init__(self, instance=""):
        super().__init__()
        self.extra = {"instance": instance} if instance else {}

    def format(self, record):
        line = {
            "time": timestamp(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": None,
            **self.extra,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(verbosity, instance):
    """Makes JSON the root's format. An application that configures logging itself may replace it."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(instance))
    logging.basicConfig(level=LEVELS[verbosity], handlers=[handler])
    own = logging.StreamHandler()
    own.setFormatter(handler.formatter)
    logger.addHandler(own)
    logger.propagate = False


def keep_own_logger(verbosity):
    """Django's `dictConfig` may have silenced us: `disable_existing_loggers` is true unless said otherwise."""
    logger.disabled = False
    logger.setLevel(LEVELS[verbosity])


class AccessLog:
    """A line for each HTTP request, and one each when a WebSocket opens (or is refused) and closes.

    Daphne's own has neither JSON nor durations nor close codes: https://github.com/django/daphne/issues/251.
    It goes to the stream itself, because no logging configuration of the application should switch it off.
    """

    def __init__(self, stream=None, instance=""):
        self.stream = stream or sys.stderr
        self.extra = {"instance": instance} if instance else {}

    def write(self, *, event, headers, method, path, status, seconds, **fields):
        """`headers` maps a lower-case name to its value; `seconds` is how long the thing took."""
        line = {
            "time": timestamp(time.time()),
            "level": "INFO",
            "logger": "daphne.access",
            "message": f"{method} {path} {fields.get('close_code') or status}",
            "request_id": (headers.get("x-request-id") or "")[:200] or None,
            "event": event,
            "method": method,
            "path": path,
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
            "client": client_of(headers),
            **fields,
            **self.extra,
        }
        self.stream.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.stream.flush()


def client_of(headers):
    """The last address of X-Forwarded-For: the one that our own proxy wrote."""
    return (headers.get("x-forwarded-for") or "").rpartition(",")[2].strip() or None
