from django.conf import settings
from django.db import models


class Inbox(models.Model):
    """A user's notifications; `newest` counts them, and its row is the lock that orders them."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE)
    newest = models.PositiveBigIntegerField(default=0)
    read_up_to = models.PositiveBigIntegerField(default=0)


class Notification(models.Model):
    """A message that named a user; `number` counts from 1 for each user."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    number = models.PositiveBigIntegerField()
    message = models.ForeignKey("rooms.Message", on_delete=models.CASCADE)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["user", "number"], name="notification_number_once")]

    def __str__(self):
        return f"{self.user_id}/{self.number}"
