"""Static files, as a browser that has an empty cache asks for them."""

import re
from typing import Any

from .base import PacedUser
from .problems import NotReady, describe

LINKED = re.compile(r'(?:src|href)="(/static/[^"]+)"')


class StaticUser(PacedUser):
    """Asks for the static files that the front page names, or for `--paths`, one after another."""

    def prepare(self) -> None:
        paths = self.options.paths.split() or self.linked()
        self.files: list[tuple[str, bytes]] = [(path, self.first(path)) for path in paths]
        self.choice = self.random_for("files")

    def linked(self) -> list[str]:
        page = self.first("/").decode()
        found = sorted(set(LINKED.findall(page)))
        if not found:
            raise NotReady("the front page names no /static/ file; give --paths")
        return found

    def first(self, path: str) -> bytes:
        """The body that later answers are compared with. Raises NotReady."""
        try:
            response = self.client.client.urlopen(self.host + path, method="GET", max_redirects=0)
            body = response.content or b""
        except Exception as error:
            raise NotReady(f"GET {path}: {describe(error)}") from error
        if response.status_code != 200 or not body:
            raise NotReady(f"GET {path}: status {response.status_code} with {len(body)} bytes, expected 200 with a body")
        return body

    def rate(self) -> float:
        return self.options.request_rate

    def send(self, intended: float) -> None:
        path, expected = self.choice.choice(self.files)

        def check(response: Any) -> str:
            if response.status_code != 200:
                return f"status {response.status_code}, expected 200"
            return "" if response.content == expected else f"{path} has another body than at first"

        self.request("GET", path, check, name="static", intended=intended, max_redirects=0)
