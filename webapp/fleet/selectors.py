"""Who is working."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models.functions import Now

from webapp.fleet.models import Worker

if TYPE_CHECKING:
    from django.db.models import QuerySet

# Six missed heartbeats.
ALIVE = timedelta(seconds=30)


def workers_alive() -> QuerySet[Worker]:
    """The workers heard of in the last half minute, by the database's clock, that have not stopped."""
    return Worker.objects.filter(stopped_at__isnull=True, heartbeat_at__gt=Now() - ALIVE)
