"""Names that point to checkpoints: set and deleted by admins, moved along by improved nights."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models.functions import Now

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.checkpoints.models import Alias
from webapp.checkpoints.trash import ensure_live
from webapp.core import audit
from webapp.core.errors import Conflict, InvalidInput, NotFound, cut
from webapp.projects.models import Project

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from webapp.accounts.models import User
    from webapp.checkpoints.models import Checkpoint
    from webapp.cycles.models import Cycle

NAME_LENGTH: Final = 40
# The same in the form's `pattern`: letters, digits and single dashes inside.
NAME_PATTERN: Final = "[a-z0-9]+(-[a-z0-9]+)*"
# More names than this on one model line are a mistake of a script.
LIMIT: Final = 50
# What pages and addresses call a checkpoint anyway.
_TAKEN: Final = re.compile(r"v\d+|current|latest")


def clean_name(name: str) -> str:
    """The name as it is kept.

    Raises:
        InvalidInput: `alias.name`.
    """
    if len(name) > NAME_LENGTH or not re.fullmatch(NAME_PATTERN, name):
        raise InvalidInput(
            "alias.name",
            f"“{cut(name, 50)}” is no name for an alias. It has 1 to {NAME_LENGTH} lower case letters, "
            "digits and dashes between them, like best or eu-deployed.",
        )
    if _TAKEN.fullmatch(name):
        raise InvalidInput(
            "alias.name",
            f"“{name}” already means something here, so it cannot be an alias. Choose another, like best.",
        )
    return name


@transaction.atomic
def alias_set(
    *,
    actor: User,
    project: Project,
    name: str,
    checkpoint: Checkpoint,
    was: str | None = None,
    follows: bool | None = None,
) -> Alias:
    """Let a name point to a checkpoint of the project; made when it is new.

    Args:
        actor: the person, who needs the role admin.
        project: on which model line.
        name: lower case letters, digits and dashes.
        checkpoint: where it points from now on.
        was: where the caller saw it: a checkpoint's id, "" when there was none; None: wherever it points.
        follows: whether it moves along with improved nights; None leaves that as it is (a new one: no).

    Raises:
        NotFound, Forbidden: the person may not.
        InvalidInput: `alias.name`; `alias.checkpoint`: none, or another project's.
        Conflict: `conflict.alias_moved`: it points elsewhere than `was`; `alias.limit`;
            `weights.non_finite`: nothing can be computed with the checkpoint; `checkpoint.trashed`.
    """
    require_role(actor, project.workspace, Role.ADMIN)
    name = clean_name(name)
    if checkpoint.project_id != project.pk:
        raise InvalidInput(
            "alias.checkpoint", "This checkpoint belongs to another project. Choose one of this project."
        )
    if checkpoint.non_finite:
        raise Conflict(
            "weights.non_finite",
            f"Checkpoint {checkpoint} holds NaN or infinite weights, so no alias should lead there. "
            "Choose another.",
        )
    alias = _locked(project, name)
    ensure_live([checkpoint])
    _compare(alias, name, was)
    if alias is not None and alias.checkpoint_id == checkpoint.pk:
        return alias if follows is None else _follow(actor, alias, follows)
    if alias is None:
        if Alias.objects.filter(project=project).count() >= LIMIT:
            raise Conflict(
                "alias.limit", f"This project has {LIMIT} aliases already. Delete one that nobody uses."
            )
        alias = Alias(project=project, name=name)
    if follows is not None:
        alias.follows = follows
    _point(alias, checkpoint, actor=actor, follows=alias.follows)
    return alias


@transaction.atomic
def alias_delete(*, actor: User, project: Project, name: str, was: str | None = None) -> Alias:
    """Remove a name; `alias_set` with what is returned brings it back.

    Raises:
        NotFound, Forbidden: the person may not, or there is none of that name.
        Conflict: `conflict.alias_moved`: it points elsewhere than `was`.
    """
    require_role(actor, project.workspace, Role.ADMIN)
    alias = _there(_locked(project, name))
    _compare(alias, name, was)
    audit.record(
        workspace=project.workspace, actor=actor, verb="alias_delete", target=alias, name=name,
        number=alias.checkpoint.number, follows=alias.follows,
    )  # fmt: skip
    Alias.objects.filter(pk=alias.pk).delete()
    return alias


@transaction.atomic
def alias_follow(*, actor: User, project: Project, name: str, follows: bool) -> Alias:
    """Let it move along with improved nights from now on, or stay where it is. Raises like `alias_delete`."""
    require_role(actor, project.workspace, Role.ADMIN)
    return _follow(actor, _there(_locked(project, name)), follows)


def aliases_advance(
    *, project: Project, cycle: Cycle, checkpoint: Checkpoint, improved: bool
) -> list[dict[str, Any]]:
    """What a cycle that publishes does to the names that follow; `project` is locked by the caller.

    Args:
        improved: a night's verdict is improved and its result became current. Anything else moves nothing.

    Returns:
        [{"name", "number": of the checkpoint that it points to now, "moved"}], for the cycle's record.
    """
    told = []
    for alias in Alias.objects.filter(project=project, follows=True).select_related("checkpoint"):
        if improved:
            _point(alias, checkpoint, cycle=cycle)
        told.append({"name": alias.name, "number": alias.checkpoint.number, "moved": improved})
    return told


def aliases_bring(
    *, actor: User, project: Project, checkpoint: Checkpoint, left: UUID | None, names: Collection[str] | None
) -> list[str]:
    """Those that follow and point to the version that is left come along to `checkpoint`; their names.

    `project` is locked by the caller, who has asked for the role.

    Args:
        left: the version that was current.
        names: only these; None: all.
    """
    found = Alias.objects.filter(project=project, follows=True, checkpoint=left)
    if names is not None:
        found = found.filter(name__in=names)
    moved = list(found.select_related("checkpoint"))
    for alias in moved:
        _point(alias, checkpoint, actor=actor)
    return [alias.name for alias in moved]


def _locked(project: Project, name: str) -> Alias | None:
    """The alias, safe from every other writer: publishing, promoting and all of these lock the project."""
    Project.objects.select_for_update().get(pk=project.pk)
    return Alias.objects.filter(project=project, name=name).select_related("checkpoint").first()


def _follow(actor: User, alias: Alias, follows: bool) -> Alias:
    if alias.follows != follows:
        alias.follows = follows
        alias.save(update_fields=["follows"])
        audit.record(
            workspace=alias.project.workspace, actor=actor, verb="alias_follow", target=alias,
            name=alias.name, follows=follows,
        )  # fmt: skip
    return alias


def _there(alias: Alias | None) -> Alias:
    if alias is None:
        raise NotFound
    return alias


def _compare(alias: Alias | None, name: str, was: str | None) -> None:
    if was is None or was == (str(alias.checkpoint_id) if alias else ""):
        return
    now = f"points to {alias.checkpoint} by now" if alias else "is gone by now"
    raise Conflict(
        "conflict.alias_moved",
        f"Somebody or a night was faster: “{name}” {now}, so it was left alone. Look again, then decide.",
        number=alias.checkpoint.number if alias else None,
    )


def _point(
    alias: Alias,
    checkpoint: Checkpoint,
    *,
    actor: User | None = None,
    cycle: Cycle | None = None,
    **detail: Any,
) -> None:
    """Move it, and write down from where and by whom; a move has the same verb, whoever moves."""
    before = alias.checkpoint.number if alias.checkpoint_id else None
    alias.checkpoint, alias.moved_by, alias.cycle = checkpoint, actor, cycle
    alias.moved_at = Now()
    alias.save()
    alias.refresh_from_db(fields=["moved_at"])
    audit.record(
        workspace=alias.project.workspace, actor=actor, verb="alias_set", target=alias, name=alias.name,
        number=checkpoint.number, before=before, **detail, **({"cycle": str(cycle.pk)} if cycle else {}),
    )  # fmt: skip
