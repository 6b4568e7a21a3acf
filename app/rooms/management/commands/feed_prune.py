from django.core.management.base import BaseCommand

from rooms.models import Room
from rooms.retention import room_prune


class Command(BaseCommand):
    help = "Delete the messages that FEED_RETENTION_COUNT and FEED_RETENTION_DAYS no longer keep, in small steps."

    def handle(self, **options):
        for room in Room.objects.all():
            total = 0
            while count := room_prune(room_id=room.pk):
                total += count
            self.stdout.write(f"{room.slug}: {total} messages pruned")
