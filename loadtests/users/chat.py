"""Rooms in which people write now and then: many members, a few of whom measure."""

from .reader import ReadingUser


class ChatUser(ReadingUser):
    """Probes of chat rooms: publish at `--message-rate`, receive by `--transport`, and measure the delay."""
