"""A set's file gives way to one without the records that were erased or have expired: the rows of that.

The file is written first (`workers.erasing`), then one transaction moves the set to it. A crash before leaves
the old file and its tombstones, a crash after it the new one; the old content is then let go of, or found by
`store_release` when a crash came between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models.functions import Now

from webapp.core import audit
from webapp.core.store import store_put
from webapp.memories.models import ErasedSet, Erasure, RecordSet
from webapp.memories.services import next_expiry
from webapp.memories.trash import locked_set, mark

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


def erasures_waiting(record_set: RecordSet) -> list[int]:
    """The erasures (`ErasedSet`) of which the set's file still holds records."""
    waiting = ErasedSet.objects.filter(record_set=record_set, purged_at__isnull=True)
    return list(waiting.values_list("pk", flat=True))


@transaction.atomic
def record_set_rewrite(
    record_set: RecordSet, *, fresh: Path, info: dict[str, Any] | None, erased: Collection[int]
) -> bool:
    """The set names the new file from now on.

    Args:
        record_set: as it was read; nothing is done when it has another file by now.
        fresh: the new file, on the store's disk; gone afterwards.
        info: what `consolidation.formats.erase.erase_rows` gave; None: no record is left, so the set goes.
        erased: which `ErasedSet` rows are done with it.

    Returns:
        Whether it was done; False: somebody else was faster.

    Raises:
        OSError: the disk refused.
    """
    item = locked_set(record_set)
    if item.sha256 != record_set.sha256 or item.purged_at is not None:
        return False
    lost = item.rows - (info["rows"] if info else 0)
    after = info["sha256"] if info else ""
    if info is None:
        mark(item, purged_at=Now(), **({} if item.trashed_at else {"trashed_at": Now()}))
    else:
        # No room is asked for: it is less than before, and the old content goes at once.
        workspace = item.project.workspace
        store_put(workspace=workspace, source=fresh, sha256=after, size_bytes=info["size"])
        mark(
            item, sha256=after, size_bytes=info["size"], rows=info["rows"], rights=info["rights"],
            label_histogram=info["label_histogram"], next_expiry_at=next_expiry(info),
        )  # fmt: skip
    if not erased:
        # Who has read the file from before the records' time was over must not publish from it.
        mark(item, erasures=item.erasures + 1)
    audit.record(
        workspace=item.project.workspace, actor=None, verb="record_set_rewrite", target=item,
        task=item.task.name, use=item.use, records=lost, rows=info["rows"] if info else 0,
    )  # fmt: skip
    ErasedSet.objects.filter(pk__in=erased).update(purged_at=Now(), sha256_after=after)
    erasures_finish()
    return True


def erasures_finish() -> None:
    """Erasures without a set that still holds something are done. For the clock too: two that write the last
    two sets at one moment do not see each other."""
    waiting = ErasedSet.objects.filter(purged_at__isnull=True).values("erasure")
    open_ones = Erasure.objects.filter(finished_at__isnull=True)
    for erasure in open_ones.exclude(pk__in=waiting).select_related("workspace"):
        if Erasure.objects.filter(pk=erasure.pk, finished_at__isnull=True).update(finished_at=Now()):
            audit.record(
                workspace=erasure.workspace, actor=None, verb="record_set_erase_finish", target=erasure,
                records=erasure.records, digest=erasure.digest,
            )  # fmt: skip


@transaction.atomic
def erasures_settle(record_set: RecordSet) -> None:
    """Of a set whose file went another way (the trash was emptied, its time was over): nothing is left to
    take out."""
    item = locked_set(record_set)
    if item.purged_at is not None:
        ErasedSet.objects.filter(record_set=item, purged_at__isnull=True).update(purged_at=Now())
        erasures_finish()
