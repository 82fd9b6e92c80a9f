"""Whether all is still there that a cycle was started with: rows may be erased while it waits or runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db.models.functions import Now

from webapp.core.errors import Conflict
from webapp.cycles.choices import Kind
from webapp.memories.models import RecordSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webapp.cycles.models import Cycle

REVOKED: Final = "replay.revoked"
_AFTER: Final = (
    "so nothing that was learned from it is published. The current checkpoint stays. Start a new cycle "
    "without those records."
)


def ensure_inputs(cycle: Cycle, *, beginning: bool = False) -> None:
    """For whoever is about to run a cycle; and for the transaction that publishes it, under the project's
    lock, which erasing records takes too.

    A link to a row that was deleted vanishes by itself, so the ids that it was started with are asked for.
    Record sets that were only replaced stay for the cycles that use them.

    Args:
        beginning: before an attempt: then sets whose retention is over count as gone. A cycle that had begun
            before may end.

    Raises:
        Conflict: `replay.revoked`: records that it learns or replays were erased, or some of a set's that it
            has read; `cycle.input_missing`: the checkpoint that it works on was deleted.
    """
    used = set(cycle.used_sets)
    rows = RecordSet.everything.filter(pk__in=used, purged_at__isnull=True)
    kept = rows.exclude(expires_at__lte=Now()) if beginning else rows
    gone = len(used) - kept.count() if used else 0
    if gone:
        what = "a record set" if gone == 1 else f"{gone} record sets"
        raise Conflict(
            REVOKED,
            f"This cycle was started with {what} that somebody has erased since, or whose time is over, "
            f"{_AFTER}",
            gone=gone,
        )
    if revoked := sets_revoked(cycle.read_sets):
        raise Conflict(REVOKED, revoked_sentence(revoked), changed=revoked)
    if cycle.kind != Kind.WAKE and cycle.base_id is None:
        raise Conflict(
            "cycle.input_missing",
            "The checkpoint that this cycle works on was deleted after it was started, so there is nothing "
            "to go on from. Start a new one on another checkpoint.",
        )


def sets_revoked(read: Mapping[str, int]) -> int:
    """How many of the sets that a cycle has read (`Cycle.read_sets`) lost records since, or are gone."""
    if not read:
        return 0
    rows = RecordSet.everything.filter(pk__in=read, purged_at__isnull=True)
    now = {str(pk): count for pk, count in rows.values_list("pk", "erasures")}
    return sum(now.get(pk) != count for pk, count in read.items())


def revoked_sentence(sets: int) -> str:
    """What a person is told about a cycle that has read what was erased since."""
    what = "a record set" if sets == 1 else f"{sets} record sets"
    return f"Records of {what} that this cycle has read were erased since, {_AFTER}"
