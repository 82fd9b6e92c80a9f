"""R5: a full disk hurts one job, clearly; it goes on by itself when there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.first import first_checkpoint
from tests.chaos.history import check
from tests.chaos.watching import now, supervise
from webapp.core import faults
from webapp.cycles.choices import State
from webapp.cycles.recheck import cycles_recheck

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.jobs import Lab

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("point", "code"),
    [("store_put.before_rename", "store.disk_full"), ("leave.before_write", "cycle.disk_full")],
)
def test_a_full_disk_blocks_one_cycle_until_there_is_room(
    point: str, code: str, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = first_checkpoint(lab)
    cycle = lab.wake(0, epochs=1)
    other = lab.another_project()
    first_checkpoint(other)
    elsewhere = other.wake(0, epochs=1)

    # The store's disk is the supervisor's (here), the work folder's is met by the trainer.
    monkeypatch.setattr("webapp.core.places.fault", faults.FaultKit(faults.parse(f"{point}:enospc@1")))
    monkeypatch.setenv("NOCTURNE_FAULTS", f"{point}:enospc@1")
    monkeypatch.setenv("NOCTURNE_FAULT_COUNTS", str(tmp_path))
    blocked = supervise()
    assert (blocked.pk, blocked.state, blocked.error_code) == (cycle.pk, State.BLOCKED, code)
    assert "Nothing is lost" in blocked.error_message
    lab.project.refresh_from_db()
    assert lab.project.current == before

    assert supervise().state == State.SUCCEEDED  # the one elsewhere
    assert now(elsewhere).state == State.SUCCEEDED
    assert cycles_recheck() == 1
    assert now(cycle).state == State.QUEUED
    done = supervise()
    assert (done.state, done.error_code, done.attempt, done.max_attempts) == (State.SUCCEEDED, "", 1, 5)
    assert check() == []
