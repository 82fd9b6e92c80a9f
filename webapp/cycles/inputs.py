"""Whether all is still there that a cycle was started with: rows may be erased while it waits or runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webapp.core.errors import Conflict
from webapp.cycles.choices import Kind
from webapp.memories.models import RecordSet

if TYPE_CHECKING:
    from webapp.cycles.models import Cycle


def ensure_inputs(cycle: Cycle) -> None:
    """For whoever is about to run a cycle; and for the transaction that publishes it, under the project's
    lock, which erasing records takes too.

    A link to a row that was deleted vanishes by itself, so the ids that it was started with are asked for.
    Record sets that were only replaced stay for the cycles that use them.

    Raises:
        Conflict: `replay.revoked`: records that it learns or replays were erased; `cycle.input_missing`: the
            checkpoint that it works on was deleted.
    """
    used = set(cycle.used_sets)
    kept = RecordSet.everything.filter(pk__in=used, purged_at__isnull=True)
    gone = len(used) - kept.count() if used else 0
    if gone:
        what = "a record set" if gone == 1 else f"{gone} record sets"
        raise Conflict(
            "replay.revoked",
            f"This cycle was started with {what} that somebody has erased since, so nothing that was learned "
            "from it is published. The current checkpoint stays. Start a new cycle without those records.",
            gone=gone,
        )
    if cycle.kind != Kind.WAKE and cycle.base_id is None:
        raise Conflict(
            "cycle.input_missing",
            "The checkpoint that this cycle works on was deleted after it was started, so there is nothing "
            "to go on from. Start a new one on another checkpoint.",
        )
