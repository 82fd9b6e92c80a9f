"""Where the project's pointer can go from the end of a cycle: back from its result, or on to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webapp.checkpoints.choices import Standing
from webapp.checkpoints.promotion_plan import (
    PromotionPlan,
    project_aliases,
    promotion_plan,
    unfinished_cycles,
)
from webapp.cycles.outcome import rolled_back

if TYPE_CHECKING:
    from webapp.accounts.abilities import Abilities
    from webapp.cycles.models import Cycle


def way_of(cycle: Cycle, may: Abilities) -> PromotionPlan | None:
    """Back to the base while the result is current; on to the result when it was kept without being promoted,
    or was rolled back.

    None when there is no such way, or the person may not go it. At most 4 queries.
    """
    result, project = getattr(cycle, "result", None), cycle.project
    if result is None or not may.can_edit:
        return None
    target = result if result.standing != Standing.PROMOTED or rolled_back(cycle) else None
    if project.current_id == result.pk:
        target = cycle.base
    if target is None or target.non_finite or target.trashed_at:
        return None
    return promotion_plan(
        target,
        left=project.current,
        aliases=project_aliases(project),
        unfinished=unfinished_cycles(project),
    )
