"""Erasing against claims, kills and a night that runs: real PostgreSQL, real processes."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.conf import settings as ours
from django.db import connection

from consolidation.memory.finding import as_ids, rows_with
from consolidation.memory.store import Records
from tests.support.jobs import Lab, eventually, worker
from tests.support.processes import process
from tests.workers.test_erasing import erase, holds, ids_in
from webapp.checkpoints.models import Checkpoint
from webapp.core.store import store_path
from webapp.core.store_release import contents_release_forgotten
from webapp.cycles.choices import State
from webapp.cycles.claim import claim, look
from webapp.cycles.models import Cycle
from webapp.memories.models import ErasedSet, Erasure, RecordSet
from webapp.uploads.models import StoredFile
from workers.devices import Device
from workers.erasing import records_take_out
from workers.job import JOB_FILE, Job
from workers.lease import boottime
from workers.preparing import CannotStart, prepare
from workers.scratch import attempt_folder, cycle_folder
from workers.supervisor import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]
TAKE_OUT = (
    "import sys, django; django.setup(); from workers.erasing import records_take_out; "
    "records_take_out(sys.argv[1])"
)


def together(*work: Callable[[], None]) -> None:
    """Begin all at one moment, each with its own connection."""
    start, errors = threading.Barrier(len(work)), list[BaseException]()

    def run(one: Callable[[], None]) -> None:
        try:
            start.wait()
            one()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_a_claim_and_an_erasure_at_once(lab: Lab) -> None:
    """Either the attempt's files are free of the records, or its holder learns that it must stop."""
    for number, ahead in enumerate((0.05, 0.0, -0.01, -0.02, -0.04)):
        one = lab.another_project(f"digits {number}")
        cycle = one.wake(0)
        data = cycle.data
        assert data is not None
        ids = ids_in(one, data, slice(3))

        def begin(wait: float = max(0.0, -ahead)) -> None:
            time.sleep(wait)
            taken = claim(worker=worker())
            assert taken is not None
            with contextlib.suppress(CannotStart):
                prepare(taken, attempt_folder(taken), device=Device("cpu", 0))

        def remove(
            wait: float = max(0.0, ahead), one: Lab = one, data: RecordSet = data, ids: list[bytes] = ids
        ) -> None:
            time.sleep(wait)
            erase(one, data, ids)

        together(begin, remove)
        file = cycle_folder(cycle.pk) / "e1" / JOB_FILE
        revoked = look(cycle_id=cycle.pk, epoch=1).revoked
        assert revoked or holds(Job.load(file), ids) == 0
        Cycle.objects.filter(pk=cycle.pk).delete()


@pytest.mark.parametrize("point", ["records_take_out.before_commit", "records_take_out.after_commit"])
def test_a_kill_leaves_the_old_file_or_the_new_one(
    point: str, lab: Lab, database_url: str, log: Path
) -> None:
    data = lab.wake(0).data
    assert data is not None
    old, ids = data.sha256, ids_in(lab, data, slice(5))
    erase(lab, data, ids)
    arguments = ("-c", TAKE_OUT, str(data.pk))
    with process(*arguments, database_url=database_url, log=log, NOCTURNE_FAULTS=f"{point}:kill") as killed:
        assert killed.wait(60) == -9, log.read_text()
    data.refresh_from_db()
    done = point != "records_take_out.before_commit"
    assert (data.sha256 != old, Erasure.objects.get().finished_at is not None) == (done, done)
    file = store_path(lab.workspace.pk, data.sha256)
    assert int(rows_with(file, ids=as_ids(ids)).sum()) == (0 if done else 5)
    assert len(Records.open(file)) == data.rows
    # Whoever comes next finishes it.
    records_take_out(data.pk)
    StoredFile.objects.update(created_at="2020-01-01T00:00:00Z")
    contents_release_forgotten(older_than=60, at_once=10)
    data.refresh_from_db()
    assert not ErasedSet.objects.filter(purged_at=None).exists()
    assert not StoredFile.objects.filter(sha256=old).exists()
    assert int(rows_with(store_path(lab.workspace.pk, data.sha256), ids=as_ids(ids)).sum()) == 0


def test_a_running_cycle_stops_within_seconds_and_publishes_nothing(lab: Lab) -> None:
    cycle = lab.wake(0, epochs=5000, snapshot_every_s=0, snapshot_every_steps=50)
    data = cycle.data
    assert data is not None
    began = boottime()
    taken = claim(worker=worker())
    assert taken is not None
    attempt = Attempt(taken, began=began, device=Device("cpu", 0), stopping=threading.Event())

    def run() -> None:
        attempt.run()
        connection.close()

    night = threading.Thread(target=run)
    night.start()
    eventually(lambda: Cycle.objects.get(pk=cycle.pk).step > 0, timeout=60, what="a step")
    erase(lab, data, ids_in(lab, data, slice(1)))
    asked = time.monotonic()
    night.join(20)
    assert not night.is_alive()
    assert time.monotonic() - asked < 6
    ended = Cycle.objects.get(pk=cycle.pk)
    assert (ended.state, ended.error_code) == (State.FAILED, "replay.revoked")
    assert "erased since" in ended.error_message
    assert not Checkpoint.objects.exists()
    assert list((Path(ours.CYCLES_DIR) / str(cycle.pk)).rglob("*.safetensors")) == []
