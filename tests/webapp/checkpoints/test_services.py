"""Versions of a line: numbers never used twice, the pointer, the parent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections

from webapp.checkpoints.models import Checkpoint
from webapp.checkpoints.services import checkpoint_create
from webapp.core.errors import InvalidInput
from webapp.core.models import AuditEntry

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project

CONFIG = {"layers": [4, 5, 3], "activation": "relu", "names": ["net.0", "net.2"]}


def create(project: Project, **changes: Any) -> Checkpoint:
    fields: dict[str, Any] = {
        "cycle": None, "parent": None, "origin": "upload", "standing": "promoted", "sha256": "0" * 64,
        "size_bytes": 9, "family": "mlp", "config": CONFIG, "tensors": [], "parameters": 43,
        "non_finite": False, "wake": {},
    }  # fmt: skip
    return checkpoint_create(project=project, **fields | changes)


def test_numbers_go_on_after_a_deletion(project: Project) -> None:
    first, second = create(project), create(project)
    second.delete()
    assert (first.number, create(project).number) == (1, 3)


def test_only_a_promoted_one_becomes_current(project: Project, alice: User) -> None:
    first = create(project, actor=alice)
    for standing in ("candidate", "branch"):
        create(project, standing=standing, parent=first, origin="sleep")
    project.refresh_from_db()
    assert project.current == first
    assert AuditEntry.objects.filter(verb="checkpoint_create").count() == 3


def test_the_callers_project_is_brought_up_to_date(project: Project) -> None:
    made = create(project)
    assert project.current == made
    assert project.last_checkpoint_number == 1


@pytest.mark.parametrize("change", [{"family": "gpt"}, {"config": {"layers": [4]}}, {"config": {}}])
def test_a_config_that_no_family_has_is_refused(change: dict[str, Any], project: Project) -> None:
    with pytest.raises(InvalidInput):
        create(project, **change)
    assert not Checkpoint.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_many_at_once_get_different_numbers(project: Project) -> None:
    def one(_: int) -> int:
        try:
            return create(project).number
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        numbers = sorted(pool.map(one, range(16)))
    assert numbers == list(range(1, 17))
