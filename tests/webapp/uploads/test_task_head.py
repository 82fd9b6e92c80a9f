"""Uploads that say which of the model's outputs are their task's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from consolidation.memory.store import Records
from tests.webapp.checkpoints.test_services import create
from tests.webapp.conftest import logged_in
from tests.webapp.uploads.test_records import checked, page
from webapp.core.errors import Conflict, InvalidInput, NocturneError
from webapp.core.store import store_path
from webapp.memories.models import RecordSet
from webapp.memories.trash import record_set_restore, record_set_trash
from webapp.uploads.declared import clean_form

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project, Task
    from webapp.uploads.models import Upload

ROWS = b"a,b,y\n" + b"1,2,0\n3,4,1\n5,6,1\n"
OWN = {"first": 2, "last": "3"}


def put(project: Project, user: User, task: Task, purpose: str = "memories", **form: Any) -> Upload:
    return checked(project, user, task, ROWS, purpose=purpose, **form)


def test_what_is_said_is_kept_on_the_set_and_in_its_file(project: Project, alice: User, task: Task) -> None:
    assert put(project, alice, task, classes=4, head=OWN).state == "ready"
    item = RecordSet.objects.get()
    assert (item.head, item.classes, item.label_histogram) == ([2, 4], 4, [0, 0, 1, 2])
    opened = Records.open(store_path(project.workspace_id, item.sha256))
    assert (opened.head, opened.y.tolist()) == ((2, 4), [2, 3, 3])
    text = page(alice, project)
    assert "<dt>Its columns</dt><dd>2 to 3 of 4</dd>" in text
    assert "Label 1: 2 rows" in text
    assert "without rows" not in text
    address = reverse("record_set_detail", args=[item.pk])
    assert "2 to 3 of the model’s 4 outputs" in logged_in(alice).get(address).content.decode()
    days = {"days": 3}
    retain = reverse("api:record_set_retain", args=[item.pk])
    told = logged_in(alice).post(retain, days, content_type="application/json").json()
    assert told["head"] == {"first": 2, "last": 3}


def test_the_other_sets_of_the_task_have_the_same_columns(project: Project, alice: User, task: Task) -> None:
    put(project, alice, task, classes=4, head=OWN)
    assert put(project, alice, task, "probe").state == "ready", "what is not said is as the others have it"
    assert RecordSet.objects.get(use="probe").head == [2, 4]
    with pytest.raises(InvalidInput, match=r"columns 0 to 1 .* columns 2 to 3") as caught:
        put(project, alice, task, "training", head={"first": 0, "last": 1})
    assert caught.value.code == "records.head"


def test_a_set_does_not_come_back_beside_others_of_other_columns(
    project: Project, alice: User, task: Task
) -> None:
    put(project, alice, task, classes=4, head=OWN)
    old = RecordSet.objects.get()
    record_set_trash(actor=alice, record_set=old)
    assert put(project, alice, task, "probe", classes=4).state == "ready"
    with pytest.raises(Conflict, match="columns 2 to 3"):
        record_set_restore(actor=alice, record_set=old)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ({"first": 2}, "both a first and a last"),
        ({"last": 2}, "both a first and a last"),
        ({"first": 2, "last": 1}, "in rising order"),
        ({"first": 0.5, "last": 1}, "whole numbers"),
        ({"first": 2, "last": 3}, "at most 2"),
        ({"first": -1, "last": 1}, "must be a number from 0"),
        ({"first": "x", "last": 1}, "must be a number from 0"),
        ({"first": True, "last": 1}, "must be a number from 0"),
        ([1, 2], "must be a table"),
        ("1", "must be a table"),
    ],
)
def test_columns_that_cannot_be_are_refused_before_a_byte(
    head: Any, words: str, project: Project, task: Task
) -> None:
    create(project)  # tells three classes apart
    with pytest.raises(InvalidInput, match=words):
        clean_form(project=project, purpose="memories", form={"task": str(task.pk), "head": head})


def test_what_is_unknown_in_it_is_refused(project: Project, alice: User, task: Task) -> None:
    with pytest.raises(NocturneError, match="middle"):
        put(project, alice, task, classes=4, head={"first": 0, "middle": 1})


def test_without_a_model_the_number_of_classes_is_asked_for(
    project: Project, alice: User, task: Task
) -> None:
    with pytest.raises(InvalidInput, match="how many classes the model tells apart"):
        put(project, alice, task, head=OWN)


def test_the_form_asks_for_them(project: Project, alice: User, task: Task) -> None:
    text = page(alice, project)
    assert 'data-form="head.first"' in text
    assert 'data-form="head.last"' in text
