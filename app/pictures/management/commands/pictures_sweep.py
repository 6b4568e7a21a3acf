import logging
import time
from contextlib import suppress

from django.core.management.base import BaseCommand
from django.db import DatabaseError, connections

from pictures.services import pictures_sweep

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Make the pictures whose job was lost. Once, or with --every for as long as it lives."

    def add_arguments(self, parser):
        parser.add_argument("--every", type=int, metavar="SECONDS", help="again after so many seconds, for ever")

    def handle(self, *, every, **options):
        if not every:
            self.stdout.write(f"{pictures_sweep()} pictures made.")
            return
        with suppress(KeyboardInterrupt):  # how its unit ends it
            self._sweep_for_ever(every)

    def _sweep_for_ever(self, every):
        while True:
            try:
                made = pictures_sweep()
                if made:
                    logger.warning("%s pictures were lost and are made now", made)
            except DatabaseError as error:
                logger.warning("Pictures not swept: %s", error)
            finally:
                # A connection held for a minute without use is one that others lack.
                connections.close_all()
            time.sleep(every)
