"""Making a checkpoint the one that people use: forward to a candidate, or back to an older version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.checkpoints.aliases import aliases_bring
from webapp.checkpoints.choices import Standing
from webapp.checkpoints.models import Checkpoint
from webapp.checkpoints.standing import own_standing
from webapp.checkpoints.trash import ensure_live
from webapp.core import audit
from webapp.core.errors import Conflict
from webapp.projects.models import Project

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from webapp.accounts.models import User


@dataclass(frozen=True)
class Promotion:
    """What was done: the version that was left (None: there was none), and the aliases that came along."""

    project: Project
    left: UUID | None
    aliases: list[str]


@transaction.atomic
def checkpoint_promote(
    *,
    actor: User,
    checkpoint: Checkpoint,
    was: str | None = None,
    aliases: bool | Collection[str] = False,
) -> Promotion:
    """Point the project at this checkpoint; nothing is deleted, so the way back is the same call.

    Args:
        actor: the person, who needs the role editor, and admin for aliases.
        checkpoint: of whichever standing; a rejected one too, when a person wants it.
        was: the id of the checkpoint that the caller saw as current ("": none); None: whatever is.
        aliases: whether those that follow and point to the version that is left come along; some names:
            only those of them.

    Raises:
        NotFound, Forbidden: the person may not.
        Conflict: `checkpoint.current`: it is that already; `weights.non_finite`: it cannot compute;
            `conflict.current_moved`: another one is current than `was`; `checkpoint.trashed`.
    """
    require_role(actor, checkpoint.project.workspace, Role.ADMIN if aliases else Role.EDITOR)
    # The publishing of a night moves the same pointer: one of the two waits for the other.
    project = Project.objects.select_for_update().get(pk=checkpoint.project_id)
    ensure_live([checkpoint])
    left = project.current_id
    if left == checkpoint.pk:
        raise Conflict("checkpoint.current", f"{checkpoint} is the current checkpoint already.")
    if was is not None and was != str(left or ""):
        raise Conflict(
            "conflict.current_moved",
            f"Somebody or a night was faster: {project.current or 'no checkpoint'} is current by now, so "
            "nothing was changed. Look again, then decide.",
        )
    if checkpoint.non_finite:
        raise Conflict(
            "weights.non_finite",
            f"Checkpoint {checkpoint} holds NaN or infinite weights, so nothing can be computed with it. "
            "Choose another.",
        )
    project.current = checkpoint
    project.save(update_fields=["current"])
    Checkpoint.objects.filter(pk=checkpoint.pk).update(standing=Standing.PROMOTED)
    checkpoint.standing = Standing.PROMOTED
    _leave(left)
    brought: list[str] = []
    if aliases:
        names = None if aliases is True else set(aliases)
        brought = aliases_bring(actor=actor, project=project, checkpoint=checkpoint, left=left, names=names)
    audit.record(
        workspace=checkpoint.project.workspace,
        actor=actor,
        verb="checkpoint_promote",
        target=checkpoint,
        number=checkpoint.number,
        before=str(left) if left else None,
        **({"aliases": brought} if brought else {}),
    )
    return Promotion(project, left, brought)


def _leave(left: UUID | None) -> None:
    """What only a person had promoted is a candidate again, unless the line has gone on from it."""
    if left is None:
        return
    before = Checkpoint.objects.select_related("cycle").filter(pk=left, children__isnull=True).first()
    if before is not None and own_standing(before) != before.standing:
        before.standing = own_standing(before)
        before.save(update_fields=["standing"])
