"""Slow pages beside fast ones: who waits for whom?"""

from collections.abc import Callable
from typing import Any

from .base import PacedUser
from .pages import PAGES
from .problems import NotReady

SLOW_PATHS = {page.path: page for name, page in PAGES.items() if name.startswith("slow")}


class SlowUser(PacedUser):
    """Asks for `--slow-path` at `--slow-rate`, and beside it for a page that is fast at `--fast-rate`."""

    def prepare(self) -> None:
        if self.options.slow_path not in SLOW_PATHS:
            raise NotReady(f"--slow-path is {self.options.slow_path!r}, expected {' or '.join(SLOW_PATHS)}")

    def loads(self) -> list[tuple[str, float, Callable[[float], None]]]:
        return [
            ("fast", self.options.fast_rate, lambda intended: self.ask("fast", "/workload/json", PAGES["json"].check, intended)),
            ("slow", self.options.slow_rate, lambda intended: self.ask("slow", self.slow.path, self.slow.check, intended)),
        ]

    @property
    def slow(self) -> Any:
        return SLOW_PATHS[self.options.slow_path]

    def ask(self, name: str, path: str, check_body: Callable[[bytes], str], intended: float) -> None:
        def check(response: Any) -> str:
            if response.status_code != 200:
                return f"status {response.status_code}, expected 200"
            return check_body(response.content)

        self.request("GET", path, check, name=name, intended=intended)
