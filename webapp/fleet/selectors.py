"""Who is working, and who would take more."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models.functions import Now

from webapp.core.errors import NotFound
from webapp.fleet.models import Worker

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet

# Six missed heartbeats.
ALIVE = timedelta(seconds=30)


def workers_alive() -> QuerySet[Worker]:
    """The workers heard of in the last half minute, by the database's clock, that have not stopped."""
    return Worker.objects.filter(stopped_at__isnull=True, heartbeat_at__gt=Now() - ALIVE)


def takes_cycles(worker: Worker) -> bool:
    """Whether a worker that is alive takes what fits it: it does not drain, and has no problem."""
    return worker.draining_at is None and not worker.problem_code


def worker_get(worker_id: UUID) -> Worker:
    """One worker; it belongs to no workspace, so everybody who is logged in may name it.

    Raises:
        NotFound: there is none, any more.
    """
    worker = Worker.objects.filter(pk=worker_id).first()
    if worker is None:
        raise NotFound("There is no such worker here, or it has not been heard of for a week.")
    return worker
