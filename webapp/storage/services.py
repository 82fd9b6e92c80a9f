"""Emptying the trash: by a person, all of it; by the clock, what has been there for seven days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models.functions import Now

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.checkpoints import trash as versions
from webapp.checkpoints.models import Checkpoint
from webapp.core import audit
from webapp.core.store_release import contents_release
from webapp.core.trash import TRASH_DAYS
from webapp.memories import trash as sets
from webapp.memories.models import RecordSet

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

    from webapp.accounts.models import User, Workspace

# So many rows at a tick; the next one goes on.
AT_ONCE: Final = 100


@dataclass(frozen=True)
class Emptied:
    """What was deleted for good: versions, record sets, and the bytes that this gave back."""

    checkpoints: int
    record_sets: int
    freed: int


def trash_empty(*, actor: User, workspace: Workspace) -> Emptied:
    """Delete all that is in the workspace's trash, for good.

    Raises:
        NotFound, Forbidden: the person may not (admin is needed).
    """
    require_role(actor, workspace, Role.ADMIN)
    in_trash = {"project__workspace": workspace, "trashed_at__isnull": False}
    emptied = _purge(
        Checkpoint.everything.filter(**in_trash), RecordSet.everything.filter(**in_trash), actor, None
    )
    done = emptied.get(workspace.pk, Emptied(0, 0, 0))
    audit.record(
        workspace=workspace, actor=actor, verb="trash_empty", target=workspace, checkpoints=done.checkpoints,
        record_sets=done.record_sets, freed=done.freed,
    )  # fmt: skip
    return done


def trash_purge(*, now: datetime | None = None) -> int:
    """For the clock: what has been in the trash for seven days goes. How many rows that were.

    Args:
        now: instead of the database's clock.
    """
    limit = (Now() if now is None else now) - timedelta(days=TRASH_DAYS)
    old = {"trashed_at__lte": limit}
    done = _purge(Checkpoint.everything.filter(**old), RecordSet.everything.filter(**old), None, AT_ONCE)
    return sum(one.checkpoints + one.record_sets for one in done.values())


def _purge(
    checkpoints: QuerySet[Checkpoint],
    record_sets: QuerySet[RecordSet],
    actor: User | None,
    at_once: int | None,
) -> dict[UUID, Emptied]:
    """By workspace. Each row in a transaction of its own: whoever restores one meanwhile is asked first."""
    counts: dict[UUID, dict[str, Any]] = {}
    for kind, rows in (("checkpoints", checkpoints), ("record_sets", record_sets)):
        waiting = rows.filter(purged_at__isnull=True).select_related("project__workspace")
        for row in waiting.order_by("trashed_at")[:at_once]:
            digests = _purge_one(row, actor)
            workspace = row.project.workspace
            told = counts.setdefault(workspace.pk, {"checkpoints": 0, "record_sets": 0, "freed": 0})
            told[kind] += bool(digests)
            told["freed"] += contents_release(workspace=workspace, digests=digests)
    return {pk: Emptied(**told) for pk, told in counts.items()}


@transaction.atomic
def _purge_one(row: Checkpoint | RecordSet, actor: User | None) -> list[str]:
    """The contents that it named; none when it was restored or purged meanwhile."""
    model = type(row)
    rows = model.everything.select_for_update().filter(pk=row.pk)
    locked: Any = rows.filter(trashed_at=row.trashed_at, purged_at__isnull=True).first()
    if locked is None:
        return []
    if isinstance(locked, Checkpoint):
        versions.purge(locked, actor=actor)
        return versions.contents_of(locked)
    sets.purge(locked, actor=actor)
    return [locked.sha256]
