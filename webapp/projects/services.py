"""Making projects and the tasks that they learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Max

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.core import audit
from webapp.core.errors import Conflict, InvalidInput, cut
from webapp.projects.models import Project, Task

if TYPE_CHECKING:
    from webapp.accounts.models import User, Workspace


def _clean_name(name: str, *, what: str, limit: int) -> str:
    cleaned = " ".join(name.split())
    if not cleaned:
        raise InvalidInput(f"{what}.name_missing", f"The {what} needs a name.")
    if len(cleaned) > limit or not cleaned.isprintable():
        raise InvalidInput(
            f"{what}.name_invalid",
            f"The name must be at most {limit} printable characters; it has {len(cleaned)}.",
        )
    return cleaned


@transaction.atomic
def project_create(*, actor: User, workspace: Workspace, name: str, is_demo: bool = False) -> Project:
    """A new, empty model line."""
    require_role(actor, workspace, Role.EDITOR)
    project = Project.objects.create(
        workspace=workspace,
        name=_clean_name(name, what="project", limit=120),
        is_demo=is_demo,
        created_by=actor,
    )
    audit.record(workspace=workspace, actor=actor, verb="project_create", target=project, name=project.name)
    return project


@transaction.atomic
def project_rename(*, actor: User, project: Project, name: str) -> Project:
    """Another name for the project; addresses do not change."""
    require_role(actor, project.workspace, Role.EDITOR)
    old, project.name = project.name, _clean_name(name, what="project", limit=120)
    project.save(update_fields=["name"])
    audit.record(
        workspace=project.workspace,
        actor=actor,
        verb="project_rename",
        target=project,
        old=old,
        new=project.name,
    )
    return project


@transaction.atomic
def task_create(*, actor: User, project: Project, name: str) -> Task:
    """Add a task after the last one; the order of tasks is the order of learning.

    Raises:
        Conflict: the project has a task of that name.
    """
    require_role(actor, project.workspace, Role.EDITOR)
    cleaned = _clean_name(name, what="task", limit=80)
    Project.objects.select_for_update().get(pk=project.pk)
    if Task.objects.filter(project=project, name=cleaned).exists():
        raise Conflict("task.exists", f"This project has a task called “{cut(cleaned)}” already.")
    last = Task.objects.filter(project=project).aggregate(last=Max("position"))["last"] or 0
    task = Task.objects.create(project=project, name=cleaned, position=last + 1)
    audit.record(workspace=project.workspace, actor=actor, verb="task_create", target=task, name=cleaned)
    return task
