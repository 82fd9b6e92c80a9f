"""Record sets: one live set a task and use, and only what fits the project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.webapp.checkpoints.test_services import create
from webapp.core.errors import InvalidInput
from webapp.core.models import AuditEntry
from webapp.memories.models import RecordSet
from webapp.memories.selectors import project_fit, transform_words
from webapp.memories.services import record_set_accept
from webapp.projects.models import Task
from webapp.projects.services import task_create

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project


@pytest.fixture
def task(project: Project) -> Task:
    return Task.objects.get(project=project)


def info(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "size": 100, "rows": 10, "x_shape": [2, 2], "x_dtype": "uint8", "classes": 3,
        "label_histogram": [5, 5, 0], "transform": {"scale": 1.0, "mean": 0.0, "sd": 1.0}, "has_logits":
        False,
    }  # fmt: skip
    return fields | changes


def accept(project: Project, task: Task, use: str = "memories", **changes: Any) -> RecordSet:
    return record_set_accept(project=project, task=task, use=use, sha256="a" * 64, info=info(**changes))


def test_a_newer_set_replaces_the_live_one(project: Project, task: Task, alice: User) -> None:
    first, probe = accept(project, task), accept(project, task, "probe")
    second = accept(project, task, rows=20)
    first.refresh_from_db()
    assert first.replaced_at is not None
    assert set(RecordSet.objects.filter(replaced_at__isnull=True)) == {second, probe}
    assert AuditEntry.objects.filter(verb="record_set_accept").count() == 3


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"x_shape": [5]}, "records.width"),
        ({"classes": 4}, "records.label_range"),
        ({"classes": 2}, "records.label_range"),
    ],
)
def test_what_does_not_fit_the_checkpoint_is_refused(
    changes: dict[str, Any], code: str, project: Project, task: Task
) -> None:
    create(project)
    with pytest.raises(InvalidInput, match="the current checkpoint v1") as caught:
        accept(project, task, **changes)
    assert caught.value.code == code
    assert not RecordSet.objects.exists()


def test_without_a_checkpoint_the_other_sets_say_what_fits(project: Project, task: Task, alice: User) -> None:
    accept(project, task)
    other = task_create(actor=alice, project=project, name="billing")
    with pytest.raises(InvalidInput, match="the memories of “returns”") as caught:
        accept(project, other, x_shape=[3])
    assert (caught.value.code, caught.value.detail) == ("records.width", {"width": 3, "expected": 4})


def test_the_only_set_may_be_replaced_by_one_of_another_width(project: Project, task: Task) -> None:
    accept(project, task)
    assert accept(project, task, x_shape=[7]).x_shape == [7]


def test_a_width_is_a_product(project: Project, task: Task) -> None:
    create(project)
    assert accept(project, task, x_shape=[4]).pk
    assert accept(project, task, "probe", x_shape=[2, 2, 1]).pk
    assert project_fit(project).width == 4


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        ({}, "as stored"),
        ({"scale": 1 / 255}, "x × 0.003922"),
        ({"scale": 1 / 255, "mean": 0.1307, "sd": 0.3081}, "(x × 0.003922 − 0.1307) ÷ 0.3081"),
        ({"mean": -2}, "(x + 2)"),
    ],
)
def test_a_transform_in_words(transform: dict[str, float], words: str) -> None:
    assert transform_words(transform) == words
