"""Records expire so many days after they came in: excluded at once, deleted soon after."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from django.utils import timezone

from consolidation.memory.store import Records
from tests.webapp.memories.erasable import ROWS, Shelf, content, records
from tests.webapp.rows import checkpoint, cycle
from webapp.core.errors import Conflict, Forbidden, InvalidInput
from webapp.core.models import AuditEntry
from webapp.cycles.choices import State
from webapp.cycles.inputs import ensure_inputs
from webapp.memories.erasing import record_set_erase, record_set_erase_preview, wanted
from webapp.memories.models import RecordSet
from webapp.memories.retention import MOST_DAYS, record_set_retain, record_sets_expire
from webapp.memories.selectors import live_sets
from webapp.memories.trash import ensure_sets_live
from webapp.uploads.declared import clean_form
from webapp.uploads.models import StoredFile
from workers.erasing import records_purge

if TYPE_CHECKING:
    from webapp.accounts.models import User


def aged(item: RecordSet, days: float) -> None:
    """As if it had come in so long ago, and its days were counted from then."""
    created = timezone.now() - timedelta(days=days)
    until = created + timedelta(days=item.retention_days) if item.retention_days else None
    RecordSet.everything.filter(pk=item.pk).update(created_at=created, expires_at=until)
    item.refresh_from_db(from_queryset=RecordSet.everything.all())


def test_a_set_expires_as_a_whole(shelf: Shelf) -> None:
    item = shelf.put("memories", records(), retention_days=12)
    other = shelf.put("probe", records(50))
    assert (item.expires_in_days, item.expired, other.expires_in_days) == (12, False, None)
    aged(item, 11.5)
    assert (item.expires_in_days, record_sets_expire()) == (1, 0)
    assert set(live_sets(shelf.project)) == {item, other}
    aged(item, 12.01)
    assert (item.expires_in_days, item.expired) == (0, True)
    assert set(live_sets(shelf.project)) == {other}  # before anybody deleted anything
    with pytest.raises(Conflict) as caught:
        ensure_sets_live([item.pk, other.pk])
    assert caught.value.code == "records.trashed"
    ensure_sets_live([other.pk])
    assert record_sets_expire() == 1
    item.refresh_from_db(from_queryset=RecordSet.everything.all())
    assert item.purged_at is not None
    assert shelf.holds(content(1)) == []
    assert StoredFile.objects.count() == 1
    assert AuditEntry.objects.filter(verb="record_set_expire", object_id=item.pk).exists()
    assert record_sets_expire() == 0


def test_what_has_begun_ends_and_nothing_begins(shelf: Shelf) -> None:
    item = shelf.put("memories", records(), retention_days=3)
    held = cycle(
        shelf.project, "sleep", State.RUNNING, base=checkpoint(shelf.project), used_sets=[str(item.pk)]
    )
    aged(item, 4)
    ensure_inputs(held)
    assert record_sets_expire() == 0
    with pytest.raises(Conflict, match="whose time is over") as caught:
        ensure_inputs(held, beginning=True)
    assert caught.value.code == "replay.revoked"


def test_copies_go_with_their_source(alice: User, shelf: Shelf) -> None:
    source = shelf.put("training", records(), retention_days=5)
    woke = cycle(shelf.project, "wake", State.PUBLISHING, data=source)
    copy = shelf.put("memories", records(), cycle=woke)
    assert copy.expires_at == source.expires_at
    record_set_retain(actor=alice, record_set=source, days=30)
    copy.refresh_from_db()
    assert (copy.retention_days, copy.expires_in_days) == (30, 30)
    with pytest.raises(Conflict) as caught:
        record_set_retain(actor=alice, record_set=copy, days=None)
    assert caught.value.code == "records.retention_of_source"
    record_set_retain(actor=alice, record_set=source, days=None)
    copy.refresh_from_db()
    assert (copy.retention_days, copy.expires_at) == (None, None)


def test_copies_of_copies_go_with_their_source_too(alice: User, shelf: Shelf) -> None:
    source = shelf.put("training", records())
    kept = shelf.put("memories", records(), cycle=cycle(shelf.project, "wake", State.SUCCEEDED, data=source))
    scored = cycle(shelf.project, "score", State.SUCCEEDED, data=kept)
    answered = shelf.put("memories", records(), cycle=scored)
    record_set_retain(actor=alice, record_set=source, days=30)
    answered.refresh_from_db()
    assert (answered.retention_days, answered.expires_in_days) == (30, 30)
    # Nor can they outlive it when what lay between them is gone.
    RecordSet.everything.filter(pk=kept.pk).update(purged_at=timezone.now())
    with pytest.raises(Conflict) as caught:
        record_set_retain(actor=alice, record_set=answered, days=None)
    assert caught.value.detail == {"source": str(source.pk)}
    record_set_retain(actor=alice, record_set=source, days=20)
    answered.refresh_from_db()
    assert answered.expires_in_days == 20


def test_an_erasure_reaches_copies_of_copies(alice: User, shelf: Shelf) -> None:
    source = shelf.put("training", records())
    kept = shelf.put(
        "memories",
        records(owners=False),
        cycle=cycle(shelf.project, "wake", State.SUCCEEDED, data=source),
    )
    answers = np.arange(ROWS * 3, dtype=np.float16).reshape(ROWS, 3)
    scored = cycle(shelf.project, "score", State.SUCCEEDED, data=kept)
    answered = shelf.put("memories", records(owners=False).with_logits(answers, 3), cycle=scored)
    asked = wanted(record_set=answered, scope="project", subject="Bo")
    rows = record_set_erase_preview(actor=alice, asked=asked).rows
    assert rows == 3 * ROWS // 3  # the middle one is replaced, and only the first names anybody
    made = record_set_erase(actor=alice, asked=asked, rows=rows)
    assert {item.record_set_id for item in made.sets.all()} == {source.pk, kept.pk, answered.pk}
    assert records_purge() == 3
    assert shelf.holds(content(1)) == []
    assert Records.open(shelf.path(answered)).z is not None


@pytest.mark.parametrize("days", [0, -1, MOST_DAYS + 1, 2])
def test_days_that_cannot_be(days: int, alice: User, bob: User, shelf: Shelf) -> None:
    item = shelf.put("memories", records())
    aged(item, 3)
    with pytest.raises(InvalidInput) as caught:
        record_set_retain(actor=alice, record_set=item, days=days)
    assert caught.value.code == "records.retention"
    with pytest.raises(Forbidden):
        record_set_retain(actor=bob, record_set=item, days=30)
    form = {"task": str(item.task_id), "retention_days": "0"}
    with pytest.raises(InvalidInput, match="number of days"):
        clean_form(project=shelf.project, purpose="memories", form=form)
    form["retention_days"] = "30"
    assert clean_form(project=shelf.project, purpose="memories", form=form)["retention_days"] == 30


def test_single_records_expire_by_their_own_date(shelf: Shelf) -> None:
    now = int(time.time())
    item = shelf.put("memories", records(expiry=[now - 10] * 2 + [now + 9999] * 9 + [0]))
    assert item.next_expiry_at is not None
    held = cycle(shelf.project, "sleep", State.RUNNING, read_sets={str(item.pk): item.erasures})
    assert records_purge() == 0
    held.delete()
    assert records_purge() == 1
    left = Records.open(shelf.path(item))
    assert len(left) == item.rows == ROWS - 2
    assert shelf.holds(content(0)) == []
    assert int(item.next_expiry_at.timestamp()) == now + 9999
    assert item.erasures == 1  # who had read it before may not publish
    assert records_purge() == 0
