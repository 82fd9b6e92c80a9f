"""What promoting a checkpoint, or rolling back to it, would change: what the dialog names before it asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from webapp.checkpoints.choices import Standing
from webapp.checkpoints.models import Alias
from webapp.checkpoints.standing import Doubt, doubt_of
from webapp.cycles.choices import UNFINISHED, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webapp.checkpoints.models import Checkpoint
    from webapp.cycles.models import Cycle
    from webapp.projects.models import Project


@dataclass(frozen=True)
class PromotionPlan:
    """The project's pointer from `left` to `target`, and what goes with it.

    Attributes:
        back: it is an older version that was promoted before: a roll-back.
        doubt: why its own cycle did not promote it.
        along: aliases that follow and point to what is left; they may come along.
        stay: other aliases there, which stay.
        begin: waiting wakes that have no base yet, so they will begin from `target`.
        beside: unfinished cycles on what is left; their results will be branches.
    """

    target: Checkpoint
    left: Checkpoint | None
    back: bool
    doubt: Doubt | None
    along: list[Alias]
    stay: list[Alias]
    begin: list[Cycle]
    beside: list[Cycle]

    @property
    def dialog(self) -> str:
        """The dialog's id on its page."""
        return f"promote-{self.target.number}"

    @property
    def names(self) -> str:
        """The aliases that may come along, as the form sends them."""
        return ",".join(alias.name for alias in self.along)

    @property
    def brings(self) -> bool:
        """Whether they come along unless the person says no: never to what a guard did not let through."""
        return self.doubt is None


def promotion_plan(
    target: Checkpoint, *, left: Checkpoint | None, aliases: Sequence[Alias], unfinished: Sequence[Cycle]
) -> PromotionPlan:
    """No queries of its own, when `target.cycle` is there.

    Args:
        target: what may become current.
        left: what is current.
        aliases: the project's.
        unfinished: the project's cycles that have not ended.
    """
    here = [alias for alias in aliases if left is not None and alias.checkpoint_id == left.pk]
    learning = [cycle for cycle in unfinished if cycle.kind != Kind.SCORE]
    return PromotionPlan(
        target=target,
        left=left,
        back=left is not None and target.number < left.number and target.standing == Standing.PROMOTED,
        doubt=doubt_of(target),
        along=[alias for alias in here if alias.follows],
        stay=[alias for alias in here if not alias.follows],
        begin=[cycle for cycle in learning if cycle.base_id is None and cycle.worker_id is None],
        beside=[cycle for cycle in learning if left is not None and cycle.base_id == left.pk],
    )


def before(checkpoint: Checkpoint, checkpoints: Sequence[Checkpoint]) -> Checkpoint | None:
    """Where a roll-back leads: the nearest ancestor that can compute. `checkpoints`: the project's."""
    by_id = {row.pk: row for row in checkpoints}
    child = checkpoint
    while child.parent_id and (at := by_id.get(child.parent_id)) and at.number < child.number:
        if not at.non_finite and at.trashed_at is None:
            return at
        child = at
    return None


def unfinished_cycles(project: Project) -> list[Cycle]:
    """The project's cycles that have not ended, oldest first. One query."""
    return list(project.cycles.filter(state__in=UNFINISHED).order_by("number").defer("report", "recipe"))


def project_aliases(project: Project) -> list[Alias]:
    """The project's aliases by name, each with its checkpoint, its cycle and who moved it. One query."""
    return list(Alias.objects.filter(project=project).select_related("checkpoint", "cycle", "moved_by"))
