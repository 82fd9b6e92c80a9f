"""Workers that reported themselves."""

from __future__ import annotations

from django.db import models

from webapp.core.models import Row


class Worker(Row):
    """One nights worker. It serves every workspace, so the page shows it to whoever is logged in."""

    name = models.CharField(max_length=120, unique=True)
    device = models.CharField(max_length=80)
    device_memory_bytes = models.BigIntegerField(default=0)
    version = models.CharField(max_length=40)
    protocol = models.PositiveIntegerField()
    heartbeat_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
