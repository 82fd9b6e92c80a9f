"""A record set on its way out: into the trash, back from it, or gone for good. For admins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.core import audit
from webapp.core.errors import Conflict, InvalidInput, cut
from webapp.core.store_release import contents_release
from webapp.core.trash import ensure_in_trash, ensure_not_trashed
from webapp.cycles.choices import UNFINISHED
from webapp.cycles.models import Cycle
from webapp.memories.models import RecordSet, unexpired
from webapp.memories.services import check_head
from webapp.projects.models import Project

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from webapp.accounts.models import User


def set_name(item: RecordSet) -> str:
    """ "Probe of “returns”". Reads the task."""
    return _("%(use)s of “%(task)s”") % {"use": item.get_use_display(), "task": cut(item.task.name)}


@transaction.atomic
def record_set_trash(*, actor: User, record_set: RecordSet) -> RecordSet:
    """Out of every list; its file stays for seven days, and until then it can be restored.

    Raises:
        NotFound, Forbidden: the person may not (admin is needed).
        Conflict: `trash.in_use`: a cycle that has not ended needs it; `trash.there`, `trash.deleted`.
    """
    require_role(actor, record_set.project.workspace, Role.ADMIN)
    locked = locked_set(record_set)
    ensure_not_trashed(locked, set_name(locked))
    using = used_by(locked, UNFINISHED)
    if using is not None:
        raise Conflict(
            "trash.in_use",
            _("%(cycle)s uses this set and has not ended, so it stays. Wait for it, or cancel it.")
            % {"cycle": using},
            cycle=str(using.pk),
        )
    mark(locked, trashed_at=Now(), trashed_by=actor)
    _audit(locked, actor, "record_set_trash", size_bytes=locked.size_bytes)
    return locked


@transaction.atomic
def record_set_restore(*, actor: User, record_set: RecordSet) -> RecordSet:
    """Back from the trash, as it was.

    Raises:
        NotFound, Forbidden: the person may not (admin is needed).
        Conflict: `trash.replaced`: a newer set has its place; `trash.not_there`, `trash.deleted`;
            `records.head`: the task has records of other columns meanwhile.
    """
    require_role(actor, record_set.project.workspace, Role.ADMIN)
    locked = locked_set(record_set)
    ensure_in_trash(locked, set_name(locked))
    newer = RecordSet.objects.filter(task=locked.task_id, use=locked.use, replaced_at__isnull=True)
    if locked.replaced_at is None and newer.exists():
        raise Conflict(
            "trash.replaced",
            _("A newer set has taken the place of %(name)s, so it stays in the trash. Put the newer one into "
              "the trash first, then restore this one.") % {"name": set_name(locked)},
        )  # fmt: skip
    if locked.replaced_at is None:
        try:
            check_head(locked.task, locked.use, locked.head)
        except InvalidInput as error:
            raise Conflict(error.code, error.message) from error
    mark(locked, trashed_at=None, trashed_by=None)
    _audit(locked, actor, "record_set_restore")
    return locked


def record_set_delete(*, actor: User, record_set: RecordSet) -> int:
    """For good, now: what is in the trash loses its file, as far as nothing else needs it.

    Returns:
        How many bytes the workspace has more.

    Raises:
        NotFound, Forbidden: the person may not (admin is needed).
        Conflict: `trash.not_there`, `trash.deleted`.
    """
    require_role(actor, record_set.project.workspace, Role.ADMIN)
    with transaction.atomic():
        locked = locked_set(record_set)
        ensure_in_trash(locked, set_name(locked))
        purge(locked, actor=actor)
    return contents_release(workspace=locked.project.workspace, digests=[locked.sha256])


def purge(record_set: RecordSet, *, actor: User | None) -> None:
    """The row, locked by the caller, says from now on that its file is gone; the caller releases it after its
    transaction. `actor` None: its seven days are over."""
    mark(record_set, purged_at=Now())
    _audit(record_set, actor, "record_set_delete", size_bytes=record_set.size_bytes, sha256=record_set.sha256)


def ensure_sets_live(wanted: Collection[UUID | str]) -> None:
    """For whoever is about to use them, under the project's lock.

    Raises:
        Conflict: `records.trashed`.
    """
    ids = {str(pk) for pk in wanted}
    if ids and RecordSet.objects.filter(unexpired(), pk__in=ids).count() < len(ids):
        raise Conflict(
            "records.trashed",
            _("Records that this needs are in the trash, deleted or expired, so it cannot run. Restore them "
              "from the trash, or start a new cycle with other records."),
        )  # fmt: skip


def used_by(item: RecordSet, states: Collection[str]) -> Cycle | None:
    """A cycle in one of these states that learns from it, replays it or is proved with it."""
    linked = Q(memories=item) | Q(probes=item) | Q(data=item) | Q(used_sets__contains=[str(item.pk)])
    linked |= Q(read_sets__has_key=str(item.pk))
    return Cycle.objects.filter(linked, project=item.project_id, state__in=states).first()


def locked_set(item: RecordSet) -> RecordSet:
    """Its row, safe from everything that could begin to need it: all of that locks the project first."""
    rows = Project.objects.select_for_update(of=("self",)).select_related("workspace")
    project = rows.get(pk=item.project_id)
    row = RecordSet.everything.select_for_update(of=("self",)).select_related("task").get(pk=item.pk)
    row.project = project
    return row


def mark(item: RecordSet, **fields: object) -> None:
    """Write columns of its row, which the caller has locked."""
    RecordSet.everything.filter(pk=item.pk).update(**fields)
    item.refresh_from_db(fields=list(fields), from_queryset=RecordSet.everything.all())


def _audit(item: RecordSet, actor: User | None, verb: str, **detail: object) -> None:
    audit.record(
        workspace=item.project.workspace, actor=actor, verb=verb, target=item, task=item.task.name,
        use=item.use, **detail,
    )  # fmt: skip
