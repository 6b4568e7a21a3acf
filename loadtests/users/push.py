"""The ways to bring a message to a reader, on one clock: all are published over HTTP, each is received in its own way."""

from .reader import ReadingUser


class PushUser(ReadingUser):
    """Holds `--subscribers` readers that receive by `--transport`, and publishes at `--message-rate` with POST."""

    def readers_in_all(self) -> int:
        return self.options.subscribers

    def send(self, intended: float) -> None:
        reader = self.readers[self.turn % len(self.readers)]
        self.turn += 1
        self.publish(intended, reader.room, self.post)
