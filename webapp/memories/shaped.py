"""Which checkpoints were shaped by record sets: by their own cycle, or because they descend from one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext_lazy as _

from webapp.checkpoints.models import Checkpoint
from webapp.cycles.models import Cycle

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from uuid import UUID

LEARNED, REPLAYED, JUDGED, DESCENDS = "learned", "replayed", "judged", "descends"
HOW: Final = {
    LEARNED: _("its wake learned from them"),
    REPLAYED: _("its sleep replayed them"),
    JUDGED: _("its cycle was proved with them"),
    DESCENDS: _("it began from one that was shaped by them"),
}


@dataclass(frozen=True)
class Shaped:
    """One checkpoint, and how the records came into it; `words` says it to a person."""

    checkpoint: Checkpoint
    how: str

    @property
    def words(self) -> Any:
        return HOW[self.how]


def shaped_directly(sets: Collection[UUID]) -> dict[UUID, str]:
    """How, by checkpoint, for those whose own cycle has read one of the sets. Four queries."""
    wanted = {str(pk) for pk in sets}
    made = Cycle.objects.filter(project__record_sets__in=sets, result__isnull=False).distinct()
    replayed = _linked(Cycle.memories.through, sets)
    judged = _linked(Cycle.probes.through, sets)
    found: dict[UUID, str] = {}
    columns = ("pk", "result", "data", "used_sets", "read_sets")
    for pk, result, data, used, read in made.values_list(*columns):
        if data is not None and str(data) in wanted:
            found[result] = LEARNED
        elif pk in replayed or (wanted.intersection([*used, *read]) and pk not in judged):
            found[result] = REPLAYED
        elif pk in judged:
            found[result] = JUDGED
    return found


def _linked(through: Any, sets: Collection[UUID]) -> set[UUID]:
    return set(through.objects.filter(recordset__in=sets).values_list("cycle", flat=True))


def with_descendants(direct: Mapping[UUID, str]) -> list[Shaped]:
    """The checkpoints of `direct` and all that were made from them, by project and number. Deleted ones too:
    what somebody took home before is still about. Two queries.
    """
    projects = Checkpoint.everything.filter(pk__in=direct).values("project")
    line = Checkpoint.everything.filter(project__in=projects).select_related("project")
    rows = list(line.defer("tensors", "extras", "config").order_by("project__name", "project", "number"))
    how = dict(direct)
    for row in _parents_first(rows):
        if row.pk not in how and row.parent_id in how:
            how[row.pk] = DESCENDS
    return [Shaped(row, how[row.pk]) for row in rows if row.pk in how]


def _parents_first(rows: Iterable[Checkpoint]) -> list[Checkpoint]:
    """A checkpoint is made after its parent, so the order of making is one."""
    return sorted(rows, key=lambda row: row.created_at)
