"""Pages while a storm of messages runs beside them."""

from collections.abc import Callable

from .pages import PagesUser
from .reader import ReadingUser


class IsolationUser(PagesUser, ReadingUser):
    """Asks for pages as pages users do, publishes at `--storm-rate` into the rooms of the crowd, and reads one of them."""

    def prepare(self) -> None:
        PagesUser.prepare(self)
        self.readers = []
        if self.options.storm_members:
            ReadingUser.prepare(self)

    def loads(self) -> list[tuple[str, float, Callable[[float], None]]]:
        pages = [("arrivals", self.options.request_rate, self.send)]
        if not self.options.storm_members:
            return pages
        return [*pages, ("storm", self.options.storm_rate, self.storm)]

    def storm(self, intended: float) -> None:
        ReadingUser.send(self, intended)
