"""Ordinary web traffic: a weighted mix of pages, each answer checked."""

import itertools
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from .base import PacedUser
from .problems import NotReady


class Page(NamedTuple):
    """One kind of request; `check(body) -> error text or ""`."""

    method: str
    path: str
    check: Callable[[bytes], str]


def check_hello(body: bytes) -> str:
    return "" if json.loads(body) == {"message": "Hello, World!"} else "not the hello message"


def is_row(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("id"), int) and isinstance(row.get("number"), int)


def check_row(body: bytes) -> str:
    return "" if is_row(json.loads(body)) else "not a row with id and number"


def check_rows(body: bytes) -> str:
    rows = json.loads(body).get("rows", [])
    return "" if len(rows) == 20 and all(map(is_row, rows)) else f"{len(rows)} rows, expected 20 with id and number"


def check_page(body: bytes) -> str:
    rows = body.count(b"<tr")
    if b"</html>" not in body[-200:]:
        return "the page has no end"
    return "" if rows >= 50 else f"{rows} table rows, expected 50"


def check_waited(body: bytes) -> str:
    return "" if json.loads(body) == {"waited_ms": 100} else "did not wait 100 ms"


PAGES = {
    "json": Page("GET", "/workload/json", check_hello),
    "row": Page("GET", "/workload/row", check_row),
    "rows": Page("GET", "/workload/rows?count=20", check_rows),
    "write": Page("POST", "/workload/write", check_row),
    "page": Page("GET", "/workload/page", check_page),
    "slow-sync": Page("GET", "/workload/slow-sync", check_waited),
    "slow-async": Page("GET", "/workload/slow-async", check_waited),
}


def parse_mix(text: str) -> dict[str, float]:
    """`"json=4 page=1"` → `{"json": 4.0, "page": 1.0}`. Raises ValueError that says what was expected."""
    mix: dict[str, float] = {}
    for part in text.replace(",", " ").split():
        name, _, weight = part.partition("=")
        if name not in PAGES:
            raise ValueError(f"--mix names the page {name!r}, expected some of {', '.join(PAGES)}")
        try:
            mix[name] = float(weight or 1)
        except ValueError:
            raise ValueError(f"--mix gives {name!r} the weight {weight!r}, expected a number") from None
        if mix[name] < 0:
            raise ValueError(f"--mix gives {name!r} the weight {weight}, expected 0 or more")
    if not sum(mix.values()):
        raise ValueError(f"--mix is {text!r}, expected pages and weights such as 'json=4 page=1'")
    return mix


class PagesUser(PacedUser):
    """Asks for JSON, rows, a write and a rendered page in the proportions of `--mix`."""

    def prepare(self) -> None:
        try:
            mix = parse_mix(self.options.mix)
        except ValueError as error:
            raise NotReady(str(error)) from error
        self.choice = self.random_for("pages")
        self.names = list(mix)
        self.cumulative = list(itertools.accumulate(mix.values()))

    def rate(self) -> float:
        return self.options.request_rate

    def send(self, intended: float) -> None:
        name = self.choice.choices(self.names, cum_weights=self.cumulative)[0]
        page = PAGES[name]

        def check(response: Any) -> str:
            if response.status_code != 200:
                return f"status {response.status_code}, expected 200"
            return page.check(response.content)

        self.request(page.method, page.path, check, name=name, intended=intended)
