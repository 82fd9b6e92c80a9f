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
    # Somebody wants it to take nothing new; what it runs goes on to its end.
    draining_at = models.DateTimeField(null=True, blank=True)
    # Why it takes nothing although it is alive: a stable code and the sentence, "" when all is well.
    problem_code = models.CharField(max_length=64, blank=True, db_default="")
    problem = models.TextField(blank=True, db_default="")

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class DeviceLease(models.Model):
    """One device of one machine belongs to one process at a time; the database's clock says until when.

    `holder` tells two processes of one name apart; `pid` and `pid_started` let another process on the same
    machine see that the holder is dead before the lease runs out.
    """

    id = models.BigAutoField(primary_key=True)
    key = models.CharField(max_length=160, unique=True)
    holder = models.UUIDField()
    host = models.CharField(max_length=120)
    pid = models.PositiveIntegerField()
    pid_started = models.FloatField()
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.key
