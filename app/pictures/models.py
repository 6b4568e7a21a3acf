from django.conf import settings
from django.db import models


class Picture(models.Model):
    """A picture somebody sent to a room. Its bytes lie in the database: the application's hosts share no disk.

    `upload` is what was sent, until `small` and `large` are made of it, without its metadata.
    """

    WAITING, READY, FAILED = "waiting", "ready", "failed"

    room = models.ForeignKey("rooms.Room", on_delete=models.CASCADE)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    name = models.CharField(max_length=100)
    uploaded_at = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=10, default=WAITING, choices=[(s, s) for s in (WAITING, READY, FAILED)])
    reason = models.CharField(max_length=200, blank=True)  # why it failed
    attempts = models.PositiveSmallIntegerField(default=0)
    claimed_at = models.DateTimeField(null=True)  # a worker is at it since then
    upload = models.BinaryField(null=True)
    small = models.BinaryField(null=True)
    large = models.BinaryField(null=True)

    class Meta:
        indexes = [models.Index(fields=["uploaded_at"], condition=models.Q(state="waiting"), name="picture_waiting")]

    def __str__(self):
        return f"{self.room_id}/{self.name}"
