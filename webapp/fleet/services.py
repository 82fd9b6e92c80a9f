"""Workers report themselves here, and people drain them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models.functions import Now

from webapp.accounts.abilities import home_workspace, operated_by
from webapp.core import audit
from webapp.core.doorbell import ring_night
from webapp.core.errors import Forbidden
from webapp.fleet.models import Worker

if TYPE_CHECKING:
    from webapp.accounts.models import User, Workspace

_FORGET_AFTER = timedelta(days=7)


def worker_heartbeat(
    *,
    name: str,
    device: str,
    version: str,
    protocol: int,
    device_memory_bytes: int = 0,
    problem_code: str = "",
    problem: str = "",
) -> Worker:
    """The worker is there: its row, made or refreshed, with the database's clock. One that drained before it
    was started again still drains: only a person ends that.

    Args:
        problem_code, problem: why it takes nothing although it is there, "" when all is well.
    """
    seen = {
        "device": device,
        "device_memory_bytes": device_memory_bytes,
        "version": version,
        "protocol": protocol,
        "problem_code": problem_code,
        "problem": problem,
        "heartbeat_at": Now(),
        "stopped_at": None,
    }
    worker, _created = Worker.objects.update_or_create(name=name, defaults=seen)
    return worker


def worker_stopped(*, name: str) -> None:
    """The worker said goodbye: the fleet page shows it as stopped and not as lost."""
    Worker.objects.filter(name=name).update(stopped_at=Now())


def workers_forget() -> int:
    """Drop workers that have not been seen for a week; the number of those."""
    return Worker.objects.filter(heartbeat_at__lt=Now() - _FORGET_AFTER).delete()[0]


@transaction.atomic
def worker_drain(*, actor: User | None, worker: Worker) -> Worker:
    """Let the worker take nothing new; what it runs goes on to its end. It stays so when it is started again.

    Asking again is fine.

    Args:
        actor: the person; None for whoever has the command line of this installation.

    Raises:
        Forbidden: the person does not run this installation.
    """
    workspace = _in_the_name_of(actor)
    if Worker.objects.filter(pk=worker.pk, draining_at=None).update(draining_at=Now()):
        _record(workspace, actor, "worker_drain", worker)
    return Worker.objects.get(pk=worker.pk)


@transaction.atomic
def worker_undrain(*, actor: User | None, worker: Worker) -> Worker:
    """Let the worker take cycles again.

    Raises:
        Forbidden: the person does not run this installation.
    """
    workspace = _in_the_name_of(actor)
    if Worker.objects.filter(pk=worker.pk, draining_at__isnull=False).update(draining_at=None):
        _record(workspace, actor, "worker_undrain", worker)
        ring_night()
    return Worker.objects.get(pk=worker.pk)


def _in_the_name_of(actor: User | None) -> Workspace | None:
    if actor is None:
        return home_workspace()
    workspace = operated_by(actor)
    if workspace is None:
        raise Forbidden(
            "Workers serve every workspace, so only the owners of the first workspace of this site may drain "
            "them. Ask one of those."
        )
    return workspace


def _record(workspace: Workspace | None, actor: User | None, verb: str, worker: Worker) -> None:
    """Nothing is recorded before there is a workspace: then nobody has been let in yet either."""
    if workspace is not None:
        audit.record(workspace=workspace, actor=actor, verb=verb, target=worker, name=worker.name)
