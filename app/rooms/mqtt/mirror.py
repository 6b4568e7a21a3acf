"""The feed to the broker: each message of each room, in order, on the room's topic.

How far a room has been told is not written anywhere else: the newest message is retained by the broker, in the same
packet that gives it to the subscribers. Whoever leads next reads it and goes on after it, so that two processes, or
two lives of one, publish no message twice.
"""

import asyncio
import json
import logging

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from project.feed import in_database
from project.wake import hub
from rooms.models import Room
from rooms.selectors import message_frame, messages_after
from rooms.services import room_group

from .topics import messages_topic, room_of_messages

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1


class Mirror:
    """One run, from one connection to its end: `publish(topic, frame)` retains it, and waits while the broker is behind."""

    def __init__(self, publish):
        self._publish = publish
        self._told = {}  # room's slug -> id that the broker retained
        self._rooms = {}  # room's id -> its task
        self._listeners = {}

    def told(self, event):
        """Note a retained message of ours."""
        room = room_of_messages(event["topic"])
        try:
            self._told[room] = int(json.loads(event["payload"])["id"])
        except (ValueError, KeyError, TypeError):
            logger.warning("What the broker retains for %s is none of our messages", room)

    async def run(self):
        """Look for rooms, and for what a lost wake-up announced, on a clock. Call when all retained ones were noted."""
        first = True
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    for room_id, slug, newest in await in_database(_rooms)():
                        if room_id not in self._rooms:
                            # A room that the broker has never heard of begins now, not with its whole history.
                            after = min(self._told.get(slug, newest if first else 0), newest)
                            self._rooms[room_id] = tasks.create_task(self._follow(room_id, slug, after))
                        elif room_id in self._listeners:
                            self._listeners[room_id].wake(newest)
                    first = False
                except (DatabaseError, InterfaceError) as error:
                    logger.warning("Looking for rooms failed: %s", error)
                await asyncio.sleep(settings.FEED_LOOK_SECONDS)

    async def _follow(self, room_id, slug, after):
        looked = 0.0
        with hub().listen(room_group(room_id)) as listener:
            self._listeners[room_id] = listener
            while True:
                while listener.newest > after or listener.since > looked:
                    looked, announced = listener.since, listener.newest
                    # What was announced and is not there has been deleted.
                    after = max(await self._catch_up(room_id, slug, after), announced)
                await listener.wait(None)

    async def _catch_up(self, room_id, slug, after):
        """Publish what came after an id until there is no more; return the newest id."""
        while True:
            try:
                frames = await in_database(_frames_after)(room_id, after)
            except (DatabaseError, InterfaceError) as error:
                logger.warning("Reading room %s failed, trying again: %s", slug, error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for frame in frames:
                await self._publish(messages_topic(slug), frame)
                after = frame["id"]
            if len(frames) < settings.FEED_PAGE_SIZE:
                return after


def _rooms():
    return list(Room.objects.values_list("pk", "slug", "newest"))


def _frames_after(room_id, after):
    messages = messages_after(room_id=room_id, after=after, limit=settings.FEED_PAGE_SIZE)
    return [message_frame(message) for message in messages]
