import logging

from channels.consumer import AsyncConsumer
from django.db import DatabaseError

from project.feed import in_database

from .services import picture_make

logger = logging.getLogger(__name__)


class PictureConsumer(AsyncConsumer):
    """Makes pictures off the request path, one at a time: `manage.py runworker thumbnails`.

    A job is heard at most once: it is lost while Redis or the worker is away, and `pictures_sweep` finds it.
    """

    async def picture_make(self, message):
        try:
            await in_database(picture_make)(message["picture"])
        except DatabaseError:
            # One lost job must not end the worker.
            logger.exception("Picture not made", extra={"picture": message["picture"]})
