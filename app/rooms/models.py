from django.conf import settings
from django.db import models


class Room(models.Model):
    """A place to talk; `newest` is the number of its newest message, and its row the lock that orders them."""

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=60)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(auto_now_add=True)
    newest = models.PositiveBigIntegerField(default=0, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name


class Message(models.Model):
    """What somebody said; `number` counts from 1 in each room, without gaps."""

    room = models.ForeignKey(Room, on_delete=models.CASCADE)
    number = models.PositiveBigIntegerField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    text = models.TextField()
    sent_at = models.DateTimeField()
    key = models.CharField(max_length=64, null=True)  # the client's: a repeated one stores nothing

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["room", "number"], name="message_number_once"),
            models.UniqueConstraint(fields=["room", "author", "key"], name="message_key_once"),
        ]

    def __str__(self):
        return f"{self.room_id}/{self.number}"
