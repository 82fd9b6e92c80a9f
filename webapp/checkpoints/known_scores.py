"""Scores that people know from elsewhere: typed in where nothing was measured, and marked as such."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import gettext as _

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.checkpoints.models import Checkpoint, Score
from webapp.core import audit
from webapp.core.errors import InvalidInput, cut
from webapp.projects.models import Task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from webapp.accounts.models import User


@transaction.atomic
def scores_enter(*, actor: User, checkpoint: Checkpoint, values: Mapping[UUID, float | None]) -> int:
    """Set, change or (None) remove the typed scores of a checkpoint; measured ones stay as they are.

    A typed score is a past to compare with; a measurement of the same checkpoint replaces it.

    Args:
        values: fraction of 1 by task; tasks of other projects and measured ones are left out.

    Returns:
        How many scores changed.

    Raises:
        NotFound, Forbidden: the person may not (the role editor is needed).
        InvalidInput: `score.range`: a value is no finite number from 0 to 1; nothing was changed.
    """
    require_role(actor, checkpoint.project.workspace, Role.EDITOR)
    # A cycle that publishes writes the same rows: one waits for the other.
    Checkpoint.everything.select_for_update().get(pk=checkpoint.pk)
    known = {score.task_id: score for score in Score.objects.filter(checkpoint=checkpoint).defer("correct")}
    changed: dict[str, float | None] = {}
    for task in Task.objects.filter(project_id=checkpoint.project_id, pk__in=list(values)):
        value, now = values[task.pk], known.get(task.pk)
        if value is not None and not (math.isfinite(value) and 0.0 <= value <= 1.0):
            raise InvalidInput(
                "score.range",
                _("The score of %(task)s is %(value)s; allowed: 0 to 1, or 0 %% to 100 %%.")
                % {"task": cut(task.name), "value": cut(value)},
                field=str(task.pk),
            )
        if (now is not None and not now.typed) or (now.value if now else None) == value:
            continue
        changed[task.name] = value
        if value is None:
            Score.objects.filter(checkpoint=checkpoint, task=task, typed=True).delete()
        else:
            Score.objects.update_or_create(
                checkpoint=checkpoint, task=task, defaults={"value": value, "typed": True}
            )
    if changed:
        audit.record(
            workspace=checkpoint.project.workspace,
            actor=actor,
            verb="scores_enter",
            target=checkpoint,
            number=checkpoint.number,
            scores=changed,
        )
    return len(changed)


def typed_value(text: str) -> float | None:
    """ "0.95", "0,95", "95 %" or "" (None) as a fraction of 1; else NaN, which no range admits."""
    plain = text.strip().removesuffix("%").strip()
    if not plain:
        return None
    plain = plain.replace(",", ".", 1) if plain.count(",") == 1 and "." not in plain else plain
    try:
        value = float(plain)
    except ValueError:
        return math.nan
    return value / 100 if text.strip().endswith("%") else value
