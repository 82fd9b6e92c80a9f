"""How long a set's records may be used: so many days after they came in."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.core import audit
from webapp.core.errors import Conflict, InvalidInput
from webapp.core.store_release import contents_release
from webapp.core.trash import deleted
from webapp.cycles.choices import ACTIVE
from webapp.memories.models import RecordSet
from webapp.memories.trash import locked_set, mark, set_name, used_by

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from webapp.accounts.models import User

MOST_DAYS: Final = 36_500
# So many sets at a tick; the next one goes on.
AT_ONCE: Final = 50


@transaction.atomic
def record_set_retain(*, actor: User, record_set: RecordSet, days: int | None) -> RecordSet:
    """From now on the set expires so many days after its records came in; None: never. What a wake kept of it
    follows.

    Raises:
        NotFound, Forbidden: the person may not (admin is needed).
        InvalidInput: `records.retention`: no such number of days, or they are over already.
        Conflict: `trash.deleted`; `records.retention_of_source`: it is a copy, so its source decides.
    """
    require_role(actor, record_set.project.workspace, Role.ADMIN)
    item = locked_set(record_set)
    if item.purged_at is not None:
        raise deleted(set_name(item))
    source = _source_of(item)
    if source is not None:
        raise Conflict(
            "records.retention_of_source",
            "These records are copies of another set that a cycle has read, so they expire with it. Change "
            "the days there.",
            source=str(source.pk),
        )
    if days is not None and not 1 <= days <= MOST_DAYS:
        raise InvalidInput(
            "records.retention",
            f"Records may be kept for 1 to {MOST_DAYS:,} days, not {days:,}; leave it empty to keep them.",
        )
    until = item.created_at + dt.timedelta(days=days) if days else None
    if until is not None and until <= timezone.now():
        raise InvalidInput(
            "records.retention",
            f"The records came in more than {days:,} days ago, so they would be gone at once. To delete "
            "them, put the set into the trash.",
        )
    mark(item, retention_days=days, expires_at=until)
    for copies in _copies_of(item):
        RecordSet.everything.filter(pk__in=copies).update(retention_days=days, expires_at=until)
    audit.record(
        workspace=item.project.workspace, actor=actor, verb="record_set_retain", target=item, days=days,
        expires_at=until.isoformat() if until else None,
    )  # fmt: skip
    return item


def _source_of(item: RecordSet) -> RecordSet | None:
    """The nearest set that is there and of which it is a copy, or a copy of one."""
    above = RecordSet.everything.filter(cycles_as_data__record_sets_made=item).first()
    while above is not None and above.purged_at is not None:
        above = RecordSet.everything.filter(cycles_as_data__record_sets_made=above).first()
    return above


def _copies_of(item: RecordSet) -> Iterator[list[UUID]]:
    """What cycles kept of it, then what was kept of that: a wake's memories, then those with more answers."""
    layer = [item.pk]
    while layer:
        rows = RecordSet.everything.filter(cycle__data__in=layer)
        layer = list(rows.values_list("pk", flat=True))
        yield layer


def record_sets_expire() -> int:
    """For the clock: the files of sets whose time is over are deleted. How many sets that were.

    Nothing that begins uses them any more; a cycle that had begun before goes on to its end, and they wait
    for it.
    """
    over = RecordSet.everything.filter(expires_at__lte=Now(), purged_at__isnull=True)
    done = 0
    for item in over.select_related("project__workspace").order_by("expires_at")[:AT_ONCE]:
        with transaction.atomic():
            locked = locked_set(item)
            later = locked.expires_at is None or locked.expires_at > timezone.now()
            if later or locked.purged_at is not None or used_by(locked, ACTIVE) is not None:
                continue
            fields = {} if locked.trashed_at else {"trashed_at": Now()}
            mark(locked, purged_at=Now(), **fields)
            audit.record(
                workspace=locked.project.workspace, actor=None, verb="record_set_expire", target=locked,
                task=locked.task.name, use=locked.use, rows=locked.rows, sha256=locked.sha256,
            )  # fmt: skip
        contents_release(workspace=item.project.workspace, digests=[locked.sha256])
        done += 1
    return done


def rows_due() -> Q:
    """Of record sets in which single records have expired by their own date."""
    return Q(next_expiry_at__lte=Now(), purged_at__isnull=True)
