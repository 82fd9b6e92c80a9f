"""A scoring that stores a checkpoint's answers beside memories which came without any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.core.errors import Conflict, InvalidInput
from webapp.cycles.models import Cycle
from webapp.cycles.services import cycle_start
from webapp.memories.models import RecordSet, Use
from webapp.projects.models import Task

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project


@pytest.fixture
def memories(project: Project) -> RecordSet:
    rows.checkpoint(project, "upload")
    return rows.record_set(Task.objects.create(project=project, name="digits", position=9), Use.MEMORIES)


def test_the_page_of_a_set_offers_it_and_it_is_queued(
    alice: User, vera: User, charlie: User, memories: RecordSet
) -> None:
    RecordSet.objects.filter(pk=memories.pk).update(has_logits=False)
    page = reverse("record_set_detail", args=[memories.pk])
    address = reverse("answers_create", args=[memories.pk])
    assert address in logged_in(alice).get(page).content.decode()
    assert address not in logged_in(vera).get(page).content.decode()
    assert logged_in(charlie).post(address, {"base": "1"}).status_code == 404
    assert logged_in(vera).post(address, {"base": "1"}).status_code == 403
    assert logged_in(alice).post(address, {"base": "99"}).headers["Location"] == page
    for number in ("9" * 5000, "²", "٣"):
        assert logged_in(alice).post(address, {"base": number}).headers["Location"] == page
    assert not Cycle.objects.exists()
    went = logged_in(alice).post(address, {"base": "1"})
    cycle = Cycle.objects.get()
    assert went.headers["Location"] == reverse("cycle_detail", args=[cycle.pk])
    assert (cycle.kind, cycle.data_id, cycle.store_bytes > 0) == ("score", memories.pk, True)


def test_only_memories_that_are_used_get_any(alice: User, project: Project, memories: RecordSet) -> None:
    probe = rows.record_set(memories.task, Use.PROBE)
    with pytest.raises(InvalidInput) as caught:
        cycle_start(actor=alice, project=project, kind="score", recipe={}, data=probe)
    assert caught.value.code == "cycle.no_data"
    RecordSet.objects.filter(pk=memories.pk).update(replaced_at=timezone.now())
    memories.refresh_from_db()
    with pytest.raises(Conflict) as refused:
        cycle_start(actor=alice, project=project, kind="score", recipe={}, data=memories)
    assert refused.value.code == "cycle.input_missing"
