from project.feed import in_database
from project.sockets import FeedConsumer

from .feeds import room_feed
from .models import Room
from .selectors import room_get
from .services import MessageRefused, message_publish


class RoomConsumer(FeedConsumer):
    """Gives a room's messages, and takes new ones."""

    async def open_feed(self):
        try:
            room = await in_database(room_get)(slug=self.scope["url_route"]["kwargs"]["slug"])
        except Room.DoesNotExist:
            return None
        self.room_id = room.pk
        return room_feed(room.pk)

    async def frame_publish(self, frame):
        key = frame.get("key")
        try:
            published = await in_database(message_publish)(room_id=self.room_id, author=self.user, text=frame.get("text"), key=key)
        except MessageRefused as refusal:
            await self.send_error(refusal.code, str(refusal), key=key)
        except Room.DoesNotExist:
            await self.send_error("room", "This room is gone.", key=key)
        else:
            await self.send_frame(type="ack", id=published.id, key=key)
