"""Projects and the order of their tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from webapp.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from webapp.projects.models import Project, Task
from webapp.projects.services import project_create, project_rename, task_create

if TYPE_CHECKING:
    from webapp.accounts.models import User, Workspace


def test_tasks_count_up_in_the_order_of_learning(alice: User, project: Project) -> None:
    billing = task_create(actor=alice, project=project, name="  billing   de ")
    assert (billing.name, billing.position) == ("billing de", 2)
    assert [task.name for task in project.tasks.all()] == ["returns", "billing de"]


def test_a_task_name_is_there_once(alice: User, project: Project) -> None:
    with pytest.raises(Conflict) as refused:
        task_create(actor=alice, project=project, name="returns")
    assert refused.value.code == "task.exists"


@pytest.mark.parametrize("name", ["", "   ", "x" * 121, "bell\x07"])
def test_a_name_must_be_a_name(alice: User, workspace: Workspace, name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        project_create(actor=alice, workspace=workspace, name=name)
    assert refused.value.code.startswith("project.name_")


def test_a_viewer_may_not_and_a_stranger_sees_nothing(
    vera: User, charlie: User, project: Project, workspace: Workspace
) -> None:
    with pytest.raises(Forbidden, match="editor"):
        project_rename(actor=vera, project=project, name="x")
    with pytest.raises(NotFound):
        task_create(actor=charlie, project=project, name="x")
    assert not Project.objects.visible_to(charlie).exists()
    assert not Task.objects.visible_to(charlie).exists()
    assert Project.objects.visible_to(vera).get() == project
    with pytest.raises(NotFound):
        Project.objects.get_visible(charlie, pk=project.pk)
