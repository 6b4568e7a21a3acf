from django.db import models


class Row(models.Model):
    """A row to read and to write under load; there are always ROWS of them, numbered from 1."""

    ROWS = 10_000

    number = models.IntegerField()
