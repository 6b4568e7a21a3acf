"""What a feed looks like on the wire of each HTTP transport. Nothing here knows how it is sent."""

import json
import time

from django.conf import settings
from django.templatetags.static import static
from django.utils.html import escape

from . import codes, policy

PADDING = 2048  # bytes; browsers begin to paint, and some proxies to pass on, after a first piece of this size


class EventStream:
    """Server-Sent Events."""

    content_type = "text/event-stream; charset=utf-8"
    headers = {}
    transport = "events"

    def begin(self):
        return f"retry: {settings.STREAM_RETRY_MS}\n\n"

    def recovery(self, recovery):
        # The id makes a browser that comes back go on from here, also after a gap.
        return f"id: {recovery.after}\nevent: recovery\ndata: {_json(recovery.as_dict())}\n\n"

    def items(self, items):
        return "".join(f"id: {number}\nevent: message\ndata: {text}\n\n" for number, text in items)

    def heartbeat(self):
        return ": still here\n\n"

    def close(self, code, reason):
        return f"event: close\ndata: {_json({'code': code, 'reason': reason})}\n\n"


class ForeverFrame:
    """An HTML document that does not end; frame.js hands its elements to the page around it."""

    content_type = "text/html; charset=utf-8"
    headers = policy.FRAMED
    transport = "frame"

    def begin(self):
        script = escape(static("frame.js"))
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Feed</title>'
            f'<script src="{script}"></script></head><body><!--{" " * PADDING}-->\n'
        )

    def recovery(self, recovery):
        return _element("recovery", recovery.after, _json(recovery.as_dict()))

    def items(self, items):
        return "".join(_element("message", number, text) for number, text in items)

    def heartbeat(self):
        return '<div hidden data-event="heartbeat"></div>\n'

    def close(self, code, reason):
        return _element("close", code, _json({"code": code, "reason": reason})) + "</body></html>\n"


class Writer:
    """Turns what `follow` yields into the bytes of a format, with a heartbeat when nothing else was written."""

    def __init__(self, form):
        self.form = form
        self._written = time.monotonic()

    def begin(self):
        return self.form.begin().encode()

    def write(self, event):
        """Return bytes, or none if there is nothing to write yet."""
        if isinstance(event, list):
            due = time.monotonic() - self._written >= settings.STREAM_HEARTBEAT_SECONDS
            text = self.form.items(event) if event else self.form.heartbeat() if due else ""
        else:
            text = self.form.recovery(event)
        if text:
            self._written = time.monotonic()
        return text.encode()

    def close(self, code=codes.TIME_IS_UP, reason="time is up"):
        return self.form.close(code, reason).encode()


FORMATS = {form.transport: form for form in (EventStream(), ForeverFrame())}


def page_of(recovery, items):
    """Return the JSON of a poll: a Recovery and [(id, JSON text)]."""
    newest = max([recovery.newest, *(number for number, _ in items)])
    rest = _json({"recovered": recovery.recovered, "oldest": recovery.oldest, "newest": newest})
    return f'{{"messages": [{", ".join(text for _, text in items)}], {rest[1:]}'.encode()


def _element(event, number, text):
    return f'<div hidden data-event="{event}" data-id="{number}" data-json="{escape(text)}"></div>\n'


def _json(content):
    return json.dumps(content, ensure_ascii=False)
