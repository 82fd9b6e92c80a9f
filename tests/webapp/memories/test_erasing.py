"""Erasing by id and by subject: what is looked for, what is left, and what must not come back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from django.utils import timezone

from consolidation.memory.store import Records
from tests.webapp.memories.erasable import ROWS, Shelf, content, digest_of, ids_of, records
from tests.webapp.rows import checkpoint, cycle
from webapp.checkpoints.models import Checkpoint
from webapp.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from webapp.core.models import AuditEntry
from webapp.cycles.choices import State
from webapp.cycles.claim import look
from webapp.cycles.inputs import ensure_inputs
from webapp.cycles.models import Snapshot
from webapp.cycles.revoking import cycles_revoke
from webapp.memories.certificate import certificate, certificate_verify
from webapp.memories.erasing import MOST_IDS, record_set_erase, record_set_erase_preview, wanted
from webapp.memories.models import Erasure, RecordSet, Tombstone
from webapp.memories.tombstones import subject_digests
from webapp.projects.services import project_create, task_create
from webapp.uploads.models import StoredFile
from workers.erasing import records_purge, records_take_out

if TYPE_CHECKING:
    from django.conf import LazySettings

    from webapp.accounts.models import User
    from webapp.cycles.models import Cycle
    from webapp.projects.models import Project


def erase(actor: User, item: RecordSet, scope: str = "set", **how: str) -> Erasure:
    asked = wanted(record_set=item, scope=scope, **how)
    rows = record_set_erase_preview(actor=actor, asked=asked).rows
    return record_set_erase(actor=actor, asked=asked, rows=rows)


# ------------------------------------------------------------ what is asked for


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({}, "erase.nothing_asked"),
        ({"ids": "ab" * 16, "subject": "Bo"}, "erase.nothing_asked"),
        ({"ids": "ab" * 15}, "erase.ids"),
        ({"ids": "xy" * 16}, "erase.ids"),
        ({"ids": " ".join(["ab" * 16] * (MOST_IDS + 1))}, "erase.ids"),
        ({"subject": "x" * 201}, "erase.subject"),
        ({"subject": "Bo", "scope": "world"}, "erase.scope"),
    ],
)
def test_a_request_that_cannot_be(how: dict[str, str], code: str, shelf: Shelf) -> None:
    with pytest.raises(InvalidInput) as caught:
        wanted(record_set=RecordSet(project=shelf.project), **{"scope": "set", **how})
    assert caught.value.code == code


def test_only_admins_may_and_a_stranger_finds_nothing(
    bob: User, charlie: User, alice: User, shelf: Shelf
) -> None:
    asked = wanted(record_set=shelf.put("memories", records()), scope="set", subject="Bo")
    for person, error in ((bob, Forbidden), (charlie, NotFound)):
        with pytest.raises(error):
            record_set_erase_preview(actor=person, asked=asked)
        with pytest.raises(error):
            record_set_erase(actor=person, asked=asked, rows=4)
    with pytest.raises(Conflict) as caught:
        record_set_erase(actor=alice, asked=asked, rows=None)
    assert (caught.value.code, caught.value.detail) == ("erase.changed", {"rows": 4, "sets": 1})
    nobody = wanted(record_set=asked.record_set, scope="set", subject="Dora")
    with pytest.raises(Conflict) as caught:
        record_set_erase(actor=alice, asked=nobody, rows=0)
    assert caught.value.code == "erase.nothing_found"
    assert not Erasure.objects.exists()


# ------------------------------------------------------------ what is found and what is left


def test_a_subject_goes_from_every_copy_and_from_the_files(alice: User, shelf: Shelf) -> None:
    made = records()
    item = shelf.put("training", made)
    kept = shelf.put("memories", made.take(np.arange(4)).with_rights(owner=None).encoded("deflate"))
    other = shelf.put("probe", records(50))
    asked = wanted(record_set=item, scope="set", subject=" anna  EK ")
    found = record_set_erase_preview(actor=alice, asked=asked)
    assert {hit.record_set.pk: hit.rows for hit in found.hits} == {item.pk: 4, kept.pk: 2}
    assert (found.rows, len(found.ids)) == (6, 4)
    was = {one.pk: shelf.read(one) for one in (item, kept, other)}

    done = record_set_erase(actor=alice, asked=asked, rows=6)
    assert (done.records, done.digest) == (4, digest_of(made, 0, 3, 6, 9))
    assert Tombstone.objects.filter(erasure=done).count() == 4
    assert done.finished_at is None
    assert records_purge() == 2
    done.refresh_from_db()
    assert done.finished_at is not None
    for number in (0, 3, 6, 9):
        assert shelf.holds(content(number)) == []
    assert shelf.holds(b"Anna Ek") == [other.sha256]  # of the probe, the other records of which nobody named
    left = Records.open(shelf.path(item))
    assert [bytes(row) for row in left.x] == [content(n) for n in range(ROWS) if n % 3]
    assert (item.rows, item.label_histogram) == (8, [0, 4, 4])
    assert shelf.read(other) == was[other.pk]
    assert StoredFile.objects.count() == 3
    assert records_purge() == 0
    verbs = list(AuditEntry.objects.values_list("verb", flat=True))
    assert verbs.count("record_set_erase") == 1
    assert verbs.count("record_set_rewrite") == 2
    assert verbs.count("record_set_erase_finish") == 1
    written = json.dumps(list(AuditEntry.objects.values_list("detail", flat=True)))
    assert "Anna" not in written


def test_by_ids_over_a_workspace(alice: User, shelf: Shelf, project: Project) -> None:
    made = records()
    item = shelf.put("memories", made)
    second = project_create(actor=alice, workspace=project.workspace, name="other")
    task_create(actor=alice, project=second, name="returns")
    copy = Shelf(second).put("memories", made)
    done = erase(alice, item, ids=ids_of(made, 5))
    assert [one.record_set_id for one in done.sets.all()] == [item.pk]
    done = erase(alice, item, "workspace", ids=ids_of(made, 5, 6))
    assert {one.record_set_id: one.rows for one in done.sets.all()} == {item.pk: 2, copy.pk: 2}
    assert (done.asked, done.records) == (2, 2)
    records_purge()
    assert not Erasure.objects.filter(finished_at=None).exists()
    Erasure.objects.update(finished_at=None)  # as after two workers that did not see each other
    records_purge()
    assert not Erasure.objects.filter(finished_at=None).exists()
    assert shelf.holds(content(5)) == []


def test_the_last_record_takes_the_set_with_it(alice: User, shelf: Shelf) -> None:
    made = records()
    item = shelf.put("memories", made)
    erase(alice, item, ids=ids_of(made, *range(ROWS)))
    assert records_take_out(item.pk)
    item.refresh_from_db(from_queryset=RecordSet.everything.all())
    assert item.purged_at is not None
    assert not StoredFile.objects.exists()
    assert Erasure.objects.get().finished_at is not None
    assert shelf.holds(content(0)) == []


def test_a_set_that_was_deleted_meanwhile_holds_nothing_back(alice: User, shelf: Shelf) -> None:
    item = shelf.put("memories", records())
    erase(alice, item, subject="Bo")
    RecordSet.everything.filter(pk=item.pk).update(trashed_at=item.created_at, purged_at=item.created_at)
    records_purge()
    assert Erasure.objects.get().finished_at is not None


def test_what_cannot_be_searched_is_told(alice: User, shelf: Shelf) -> None:
    item, lost = shelf.put("memories", records()), shelf.put("probe", records(50))
    gone = shelf.put("training", records(70))
    shelf.path(lost).unlink()
    RecordSet.everything.filter(pk=gone.pk).update(purged_at=gone.created_at, trashed_at=gone.created_at)
    assert erase(alice, item, subject="Bo").unsearched == 2


# ------------------------------------------------------------ what may not come back


def refused(shelf: Shelf, made: Records, **fields: Any) -> dict[str, Any]:
    with pytest.raises(InvalidInput) as caught:
        shelf.put("training", made, **fields)
    assert caught.value.code == "replay.subject_erased"
    return {"message": caught.value.message, **caught.value.detail}


def test_an_import_that_brings_back_a_subject_or_an_id(alice: User, shelf: Shelf, project: Project) -> None:
    made = records()
    item = shelf.put("memories", made)
    second = project_create(actor=alice, workspace=project.workspace, name="other")
    task_create(actor=alice, project=second, name="returns")
    erase(alice, item, subject="Anna Ek")
    told = refused(shelf, records(50))
    assert (told["records"], told["by_id"], told["by_subject"], told["rows"]) == (4, 0, 4, 12)
    assert "4 of 12 records" in told["message"]
    assert "record 1, 4, 7, 10." in told["message"]
    told = refused(shelf, records(owners=False))
    assert (told["records"], told["by_id"], told["by_subject"]) == (4, 4, 0)
    assert "Anna" not in told["message"]
    shelf.put("training", records(50, owners=False))
    Shelf(second).put("training", made)  # the erasure was of the first project
    erase(alice, item, "workspace", subject="Bo")
    assert refused(Shelf(second), records(50))["records"] == 4
    shelf.project.delete()  # with its own erasure, which names no project any more
    told = refused(Shelf(second), records(50))
    assert told["by_subject"] == 4


def test_a_new_key_still_knows_the_subject(shelf: Shelf, alice: User, settings: LazySettings) -> None:
    erase(alice, shelf.put("memories", records()), subject="Bo")
    stored = Erasure.objects.get().subject_digest
    assert stored not in {"", subject_digests(alice.pk, "Bo")[0]}  # another workspace's is another
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another key"
    assert refused(shelf, records(50))["by_subject"] == 4


# ------------------------------------------------------------ cycles that have read it


def reading(item: RecordSet, state: str, **fields: Any) -> Cycle:
    """A cycle that has opened the set as it is now."""
    item.refresh_from_db()
    fields = {"used_sets": [str(item.pk)], "read_sets": {str(item.pk): item.erasures}} | fields
    made = cycle(item.project, "sleep", state, **fields)
    made.memories.add(item)
    return made


def test_whoever_has_read_it_is_told_and_publishes_nothing(alice: User, shelf: Shelf) -> None:
    item = shelf.put("memories", records())
    held = reading(item, State.RUNNING, base=checkpoint(shelf.project), epoch=1)
    assert look(cycle_id=held.pk, epoch=1).revoked == 0
    ensure_inputs(held)
    erase(alice, item, subject="Bo")
    assert look(cycle_id=held.pk, epoch=1).revoked == 1
    with pytest.raises(Conflict) as caught:
        ensure_inputs(held)
    assert (caught.value.code, caught.value.detail) == ("replay.revoked", {"changed": 1})
    records_purge()
    assert look(cycle_id=held.pk, epoch=1).revoked == 1
    # One that begins now reads what is left.
    fresh = reading(item, State.SUCCEEDED, base=held.base)
    ensure_inputs(fresh, beginning=True)


@pytest.mark.parametrize(
    ("state", "end"),
    [(State.QUEUED, State.FAILED), (State.BLOCKED, State.FAILED), (State.PAUSED, State.CANCELLED)],
)
def test_a_snapshot_of_it_is_not_gone_on_from(state: str, end: str, alice: User, shelf: Shelf) -> None:
    item = shelf.put("memories", records())
    waiting = reading(item, state, epoch=3)
    Snapshot.objects.create(
        cycle=waiting, epoch=3, step=5, stage="rem", folder="a", created_at=timezone.now()
    )
    assert cycles_revoke() == 0
    erase(alice, item, subject="Bo")
    assert cycles_revoke() == 1
    waiting.refresh_from_db()
    assert (waiting.state, waiting.error_code, waiting.epoch) == (end, "replay.revoked", 4)
    assert cycles_revoke() == 0


@pytest.mark.parametrize("state", [State.QUEUED, State.BLOCKED, State.PAUSED])
def test_one_without_a_snapshot_begins_anew_with_what_is_left(state: str, alice: User, shelf: Shelf) -> None:
    waiting = reading(shelf.put("memories", records()), state, epoch=3)
    erase(alice, waiting.memories.get(), subject="Bo")
    assert cycles_revoke() == 0
    waiting.refresh_from_db()
    assert (waiting.state, waiting.error_code, waiting.epoch) == (state, "", 3)


# ------------------------------------------------------------ the certificate


def test_the_certificate_names_what_was_shaped_and_never_whom(
    alice: User, shelf: Shelf, settings: LazySettings
) -> None:
    project, item = shelf.project, shelf.put("training", records())
    before = checkpoint(project)
    learned = checkpoint(project, "wake", cycle=cycle(project, "wake", State.SUCCEEDED, data=item))
    slept = checkpoint(project, "sleep", cycle=cycle(project, "sleep", State.SUCCEEDED, base=learned))
    done = erase(alice, item, subject="Bo")
    later = checkpoint(project, "sleep")
    aside = Checkpoint.objects.create(
        project=project, number=99, parent=before, origin="upload", sha256="f" * 64, size_bytes=1,
        family="mlp", parameters=1,
    )  # fmt: skip
    told = certificate(done)
    assert [(one["number"], one["how"]) for one in told["checkpoints"]] == [
        (learned.number, "learned"), (slept.number, "descends"), (later.number, "descends"),
    ]  # fmt: skip
    assert aside.number not in {one["number"] for one in told["checkpoints"]}
    assert (told["finished_at"], told["records"], told["sets"][0]["rows"]) == (None, 4, 4)
    records_purge()
    done.refresh_from_db()
    told = certificate(done)
    item.refresh_from_db()
    assert told["sets"][0]["sha256_after"] == item.sha256 != told["sets"][0]["sha256_before"]
    text = json.dumps(told)
    assert not any(word in text for word in ("Bo", "record 01"))
    assert "Backups" in text
    copy = json.loads(text)
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another key"
    assert certificate_verify(copy)
    assert not certificate_verify(copy | {"records": 3})
    assert not certificate_verify({})
