"""The page of memories and probes, with nothing, with much, and for those who only look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from consolidation.families.registry import family_spec
from tests.consolidation.lm_helpers import GPT2
from tests.webapp.conftest import logged_in
from tests.webapp.memories.test_services import accept
from tests.webapp.rows import checkpoint
from webapp.memories.models import RecordSet
from webapp.projects.models import Task
from webapp.projects.services import project_create, task_create

if TYPE_CHECKING:
    from webapp.accounts.models import User, Workspace
    from webapp.projects.models import Project


def page(user: User, project: Project, **query: str) -> str:
    response = logged_in(user).get(reverse("records_list", args=[project.pk]), query)
    assert response.status_code == 200
    return response.content.decode()


def test_a_project_without_tasks(alice: User, workspace: Workspace) -> None:
    text = page(alice, project_create(actor=alice, workspace=workspace, name="new"))
    assert "No task yet" in text
    assert "Without probes a sleep can run but cannot prove anything." in text
    assert 'type="file"' not in text


def test_a_set_in_figures(alice: User, project: Project) -> None:
    task = Task.objects.get(project=project)
    accept(project, task, rows=13_476, transform={"scale": 0.0625, "mean": 0.0, "sd": 1.0})
    text = page(alice, project)
    for words in ("13,476", "2 × 2 uint8", "x × 0.0625", "(1 without rows)", "Label 0: 5 rows"):
        assert words in text, words
    assert "style=" not in text
    assert "Without probes" in text
    accept(project, task, "probe")
    assert "Without probes" not in page(alice, project)


def test_records_of_texts_are_told_in_tokens_and_have_no_classes_where_labels_are_places(
    alice: User, project: Project
) -> None:
    task = Task.objects.get(project=project)
    accept(project, task, x_shape=[53], x_dtype="uint16", classes=2**32)
    assert "53 uint16" in page(alice, project)
    model = checkpoint(project)
    model.family, model.config = "causal_lm", family_spec("causal_lm").validate_config(GPT2)
    model.save()
    text = page(alice, project)
    assert "up to 53 tokens" in text
    assert "<dt>Classes</dt>" not in text
    item = RecordSet.objects.get(task=task)
    text = logged_in(alice).get(reverse("record_set_detail", args=[item.pk])).content.decode()
    assert "up to 53 tokens" in text
    assert "<dt>Classes</dt>" not in text


def test_the_link_beside_a_set_chooses_it_in_the_panel(alice: User, project: Project) -> None:
    other = task_create(actor=alice, project=project, name="billing")
    text = page(alice, project, task=str(other.pk), use="probe")
    assert f'<option value="{other.pk}" selected>' in text
    assert '<option value="probe" selected>' in text
    assert f'<option value="{other.pk}" selected>' not in page(alice, project, task="<script>", use="no")


def test_a_viewer_looks_and_cannot_touch(vera: User, project: Project) -> None:
    text = page(vera, project)
    assert 'type="file"' not in text
    assert "Add a task" not in text
    response = logged_in(vera).post(reverse("task_add", args=[project.pk]), {"name": "x"})
    assert response.status_code == 403


def test_adding_a_task(bob: User, project: Project) -> None:
    client = logged_in(bob)
    for name in ("billing", "billing", ""):
        assert client.post(reverse("task_add", args=[project.pk]), {"name": name}).status_code == 302
    assert list(Task.objects.filter(project=project).values_list("name", "position")) == [
        ("returns", 1),
        ("billing", 2),
    ]
    assert "has a task called" in client.get(reverse("records_list", args=[project.pk])).content.decode()


@pytest.mark.parametrize("tasks", [1, 12])
def test_the_page_costs_the_same_whatever_there_is(
    tasks: int, alice: User, project: Project, django_assert_max_num_queries: Any
) -> None:
    for index in range(tasks):
        accept(project, task_create(actor=alice, project=project, name=f"task {index}"), "probe")
    client = logged_in(alice)
    with django_assert_max_num_queries(13):
        client.get(reverse("records_list", args=[project.pk]))
