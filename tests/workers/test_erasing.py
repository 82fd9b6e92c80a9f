"""What begins after an erasure never opens a file that holds the records; what began before is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from consolidation.memory.finding import as_ids, rows_with
from consolidation.memory.store import Records
from tests.support.jobs import Lab, worker
from webapp.cycles.claim import claim, look
from webapp.cycles.models import Cycle, Snapshot
from webapp.memories.erasing import record_set_erase, record_set_erase_preview, wanted
from webapp.memories.models import ErasedSet, RecordSet
from webapp.memories.purging import erasures_waiting
from workers import preparing
from workers.devices import Device
from workers.job import JOB_FILE, WORK_DIR, Job
from workers.preparing import CannotStart, prepare
from workers.scratch import attempt_folder


@pytest.fixture
def lab(db: None) -> Lab:
    return Lab.make()


def ids_in(lab: Lab, item: RecordSet, rows: slice) -> list[bytes]:
    path = preparing._verified(lab.workspace.pk, item.sha256, "a set")
    return [row.tobytes() for row in Records.open(path).ids[rows]]


def erase(lab: Lab, item: RecordSet, ids: list[bytes]) -> None:
    asked = wanted(record_set=item, scope="set", ids=" ".join(one.hex() for one in ids))
    rows = record_set_erase_preview(actor=lab.alice, asked=asked).rows
    record_set_erase(actor=lab.alice, asked=asked, rows=rows)


def begun(cycle: Cycle) -> tuple[Cycle, Path]:
    taken = claim(worker=worker())
    assert taken is not None
    assert taken.pk == cycle.pk
    return taken, attempt_folder(taken)


def job_of(taken: Cycle, folder: Path) -> Job:
    prepare(taken, folder, device=Device("cpu", 0))
    return Job.load(folder / JOB_FILE)


def holds(job: Job, ids: list[bytes]) -> int:
    """How many of these records are in the files that the attempt opens."""
    files = {path for path in (*job.memories, *job.probes, job.data, job.awake) if path}
    return sum(int(rows_with(path, ids=as_ids(ids)).sum()) for path in map(Path, files))


def test_what_begins_after_reads_a_file_without_them(lab: Lab) -> None:
    cycle = lab.wake(0)
    assert cycle.data is not None
    ids = ids_in(lab, cycle.data, slice(5))
    erase(lab, cycle.data, ids)
    taken, folder = begun(cycle)
    job = job_of(taken, folder)
    assert holds(job, ids) == 0
    assert not ErasedSet.objects.filter(purged_at=None).exists()
    data = RecordSet.objects.get(pk=cycle.data.pk)
    assert taken.read_sets[str(data.pk)] == 1
    assert job.data is not None
    assert data.sha256 in job.data
    assert look(cycle_id=taken.pk, epoch=1).revoked == 0


@pytest.mark.parametrize("first", ["the erasure", "the look for it"])
def test_whichever_comes_first_nothing_of_it_is_published(
    first: str, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    cycle = lab.wake(0)
    assert cycle.data is not None
    data, ids = cycle.data, ids_in(lab, cycle.data, slice(5))
    taken, folder = begun(cycle)
    done: list[int] = []

    def between(item: RecordSet) -> list[int]:
        if item.pk != data.pk or done:
            return erasures_waiting(item)
        done.append(1)
        if first == "the erasure":
            erase(lab, data, ids)
            return erasures_waiting(item)
        before = erasures_waiting(item)
        erase(lab, data, ids)
        return before

    monkeypatch.setattr(preparing, "erasures_waiting", between)
    if first == "the erasure":
        assert holds(job_of(taken, folder), ids) == 0
        assert look(cycle_id=taken.pk, epoch=1).revoked == 0
        return
    with pytest.raises(CannotStart) as caught:
        job_of(taken, folder)
    assert caught.value.code == "replay.revoked"
    assert not (folder / JOB_FILE).exists()
    assert look(cycle_id=taken.pk, epoch=1).revoked == 1


def test_what_an_earlier_attempt_has_read_counts_with_its_snapshot_only(lab: Lab) -> None:
    cycle = lab.wake(0)
    assert cycle.data is not None
    ids = ids_in(lab, cycle.data, slice(2))
    taken, folder = begun(cycle)
    job_of(taken, folder)
    erase(lab, cycle.data, ids)
    assert holds(job_of(Cycle.objects.get(pk=cycle.pk), folder), ids) == 0  # nothing was kept of the first
    assert look(cycle_id=taken.pk, epoch=1).revoked == 0
    (folder / WORK_DIR).mkdir(exist_ok=True)
    Snapshot.objects.create(
        cycle=cycle, epoch=1, step=1, stage="rem", folder="x", created_at=cycle.created_at
    )
    left = RecordSet.objects.get(pk=cycle.data.pk)
    erase(lab, left, ids_in(lab, left, slice(1)))
    for reading in ({str(left.pk): 1}, {}):  # a version before this one wrote nothing down
        Cycle.objects.filter(pk=cycle.pk).update(read_sets=reading)
        with pytest.raises(CannotStart) as caught:
            job_of(Cycle.objects.get(pk=cycle.pk), folder)
        assert caught.value.code == "replay.revoked"


def test_a_set_of_which_nothing_is_left_cannot_be_learned(lab: Lab) -> None:
    cycle = lab.wake(0)
    assert cycle.data is not None
    erase(lab, cycle.data, ids_in(lab, cycle.data, slice(None)))
    taken, folder = begun(cycle)
    with pytest.raises(CannotStart) as caught:
        job_of(taken, folder)
    assert caught.value.code == "replay.revoked"


def test_a_damaged_file_is_an_input_that_is_missing(lab: Lab) -> None:
    cycle = lab.wake(0)
    assert cycle.data is not None
    erase(lab, cycle.data, ids_in(lab, cycle.data, slice(1)))
    preparing._verified(lab.workspace.pk, cycle.data.sha256, "a set").unlink()
    taken, folder = begun(cycle)
    with pytest.raises(CannotStart) as caught:
        job_of(taken, folder)
    assert caught.value.code == "cycle.input_missing"
