"""One page over one version of HTTP, with kept connections or a new one for each request."""

from .base import PacedUser
from .http2 import Http2
from .problems import NotReady, describe


class RawUser(PacedUser):
    """Asks for `--path` at `--request-rate` over `--http`; `--expect-body` is what every answer must have."""

    def prepare(self) -> None:
        self.expected = self.options.expect_body.encode()
        self.http2: Http2 | None = None
        if self.options.http == "2":
            if self.options.connections == "close":
                raise NotReady("--http 2 with --connections close: HTTP/2 is one connection that is kept; leave one of them out")
            try:
                self.http2 = Http2(self.host)
            except (OSError, ValueError) as error:
                raise NotReady(f"{self.host}: {describe(error)}") from error
        elif self.options.connections == "close":
            self.headers = {"Connection": "close"}
        else:
            self.headers = {}
        self.request_once()

    def request_once(self) -> None:
        """Raises NotReady when the first answer is not the expected one."""
        try:
            status, body = self.get(self.options.path)
        except Exception as error:
            raise NotReady(f"GET {self.options.path}: {describe(error)}") from error
        if wrong := self.wrong(status, body):
            raise NotReady(f"GET {self.options.path}: {wrong}")

    def get(self, path: str) -> tuple[int, bytes]:
        if self.http2:
            return self.http2.get(path, self.network_timeout)
        response = self.client.client.urlopen(self.host + path, method="GET", headers=self.headers, max_redirects=0)
        return response.status_code, response.content or b""

    def wrong(self, status: int, body: bytes) -> str:
        if status != 200:
            return f"status {status}, expected 200"
        if self.expected and body.strip() != self.expected.strip():
            return f"the body is {body[:60]!r}, expected {self.expected[:60]!r}"
        return ""

    def rate(self) -> float:
        return self.options.request_rate

    def send(self, intended: float) -> None:
        self.exchange("GET", "raw", intended, self.once)

    def once(self) -> tuple[str, int]:
        status, body = self.get(self.options.path)
        return self.wrong(status, body), len(body)

    def on_stop(self) -> None:
        super().on_stop()
        if self.is_ready and self.http2:
            self.http2.close()
