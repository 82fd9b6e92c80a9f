"""Room that runs out under a real worker: blocked with the sentence, and done once there is some."""

from __future__ import annotations

import shutil
from collections import namedtuple
from typing import TYPE_CHECKING

import pytest

from tests.webapp.cycles.test_room import quota
from webapp.checkpoints.models import Checkpoint
from webapp.core.store import RESERVE_BYTES, promised_to_cycles
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle, Snapshot, Transition
from webapp.cycles.recheck import cycles_recheck
from webapp.memories.models import Use

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.jobs import Lab

Usage = namedtuple("Usage", "total used free")


@pytest.mark.usefixtures("short_lease")
def test_a_quota_that_is_full_at_the_end_costs_nothing_but_time(
    lab: Lab, run_next: Callable[[], Cycle]
) -> None:
    lab.wake(0, snapshot_every_steps=5)
    Cycle.objects.update(store_bytes=1000)  # foretold much too small
    quota(lab, 0)
    blocked = run_next()
    assert (blocked.state, blocked.error_code) == (State.BLOCKED, "cycle.no_room")
    assert "left of" in blocked.error_message
    assert blocked.store_bytes > 50_000
    assert promised_to_cycles() == 0
    assert not Checkpoint.objects.exists()
    assert Snapshot.objects.filter(cycle=blocked).exists()
    assert cycles_recheck() == 0
    quota(lab, blocked.store_bytes)
    assert cycles_recheck() == 1
    done = run_next()
    assert (done.state, done.error_code, done.attempt) == (State.SUCCEEDED, "", 1)
    assert Checkpoint.objects.get().cycle == done
    words = Transition.objects.filter(cycle=done).values_list("to_state", flat=True)
    assert list(words) == [
        "queued", "starting", "running", "publishing", "queued", "blocked",
        "queued", "starting", "running", "publishing", "succeeded",
    ]  # fmt: skip


@pytest.mark.usefixtures("short_lease")
def test_a_worker_without_room_does_not_begin(
    lab: Lab, run_next: Callable[[], Cycle], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.wake(0)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 10**12, RESERVE_BYTES + 50_000))
        blocked = run_next()
    assert (blocked.state, blocked.error_code) == (State.BLOCKED, "cycle.disk_full")
    assert "worker's disk has no room: this cycle needs" in blocked.error_message
    assert cycles_recheck() == 1
    assert run_next().state == State.SUCCEEDED


@pytest.mark.usefixtures("short_lease")
def test_memories_erased_before_and_while_it_runs(
    lab: Lab, run_next: Callable[[], Cycle], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.wake(0)
    woken = run_next()
    cycle = lab.sleep()
    begun = []

    def erase(point: str) -> None:
        if point == "verify.begin":
            begun.append(cycle.memories.get().delete())

    monkeypatch.setattr("workers.verifying.fault", erase)
    failed = run_next()
    assert begun
    assert (failed.state, failed.error_code) == (State.FAILED, "replay.revoked")
    assert "The current checkpoint stays" in failed.error_message
    lab.project.refresh_from_db()
    assert lab.project.current is not None
    assert lab.project.current.cycle == woken
    # A new one, on memories that are erased before its worker comes.
    lab.put(0, Use.MEMORIES)
    again = lab.sleep()
    again.memories.get().delete()
    failed = run_next()
    assert (failed.pk, failed.state, failed.error_code) == (again.pk, State.FAILED, "replay.revoked")
