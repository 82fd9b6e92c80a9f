"""Making a checkpoint the one that people use: forward to a candidate, or back to an older version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.checkpoints.choices import Standing
from webapp.core import audit
from webapp.core.errors import Conflict
from webapp.projects.models import Project

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.checkpoints.models import Checkpoint


@transaction.atomic
def checkpoint_promote(*, actor: User, checkpoint: Checkpoint) -> Project:
    """Point the project at this checkpoint; nothing is deleted, so the way back is the same call.

    Raises:
        NotFound, Forbidden: the person may not (the role editor is needed).
        Conflict: `checkpoint.current`: it is that already; `weights.non_finite`: it cannot compute.
    """
    require_role(actor, checkpoint.project.workspace, Role.EDITOR)
    # The publishing of a night moves the same pointer: one of the two waits for the other.
    project = Project.objects.select_for_update().get(pk=checkpoint.project_id)
    if project.current_id == checkpoint.pk:
        raise Conflict("checkpoint.current", f"{checkpoint} is the current checkpoint already.")
    if checkpoint.non_finite:
        raise Conflict(
            "weights.non_finite",
            f"Checkpoint {checkpoint} holds NaN or infinite weights, so nothing can be computed with it. "
            "Choose another.",
        )
    before = project.current_id
    project.current = checkpoint
    project.save(update_fields=["current"])
    if checkpoint.standing == Standing.CANDIDATE:
        checkpoint.standing = Standing.PROMOTED
        checkpoint.save(update_fields=["standing"])
    audit.record(
        workspace=checkpoint.project.workspace,
        actor=actor,
        verb="checkpoint_promote",
        target=checkpoint,
        number=checkpoint.number,
        before=str(before) if before else None,
    )
    return project
