from project.sockets import FeedConsumer

from .feeds import inbox_feed


class NotificationConsumer(FeedConsumer):
    """Gives a user the messages that name them, in any room."""

    async def open_feed(self):
        return inbox_feed(self.user.pk)
