"""Killed anywhere, a cycle goes on from its snapshot and ends with the very bits of the unbroken run."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.support.jobs import Lab, eventually
from tests.support.processes import SHIFT, at_step, gone, process, trainer_of
from webapp.checkpoints.models import Checkpoint
from webapp.cycles.choices import ACTIVE, TRANSITIONS, State
from webapp.cycles.models import Cycle, Snapshot, Transition
from webapp.cycles.steering import cycle_cancel
from webapp.live.models import Frame
from workers.reaper import reap

pytestmark = pytest.mark.timeout(240)
# Long enough to be killed in the middle, snapshots often enough to lose little.
RECIPE = {"epochs": 24, "snapshot_every_steps": 200, "snapshot_every_s": 0}
KILL_AT = 450
_unbroken: list[str] = []


def finished(cycle: Cycle, timeout: float = 90.0) -> Cycle:
    """The cycle's row once it has ended well."""

    def there() -> Cycle | None:
        reap()
        now = Cycle.objects.get(pk=cycle.pk)
        assert now.state != State.FAILED, now.error_message
        return now if now.state == State.SUCCEEDED else None

    found = eventually(there, timeout=timeout, what="the end of the cycle")
    assert found is not None
    return found


def failure(cycle: Cycle) -> Cycle:
    """The cycle's row once it has failed."""
    failed = Cycle.objects.filter(pk=cycle.pk, state=State.FAILED)
    found = eventually(failed.first, timeout=60, what="the failure")
    assert found is not None
    return found


def unbroken(lab: Lab, database_url: str, log: Path) -> str:
    """sha256 of the checkpoint of the same wake, run through without a fault, on another project; once."""
    if not _unbroken:
        whole = lab.another_project("unbroken").wake(0, **RECIPE)
        with process(*SHIFT, database_url=database_url, log=log):
            _unbroken.append(Checkpoint.objects.get(cycle=finished(whole)).sha256)
    return _unbroken[0]


def check_history(cycle: Cycle) -> None:
    """Legal transitions, growing epochs, frames without gap or double, no step lost between the epochs."""
    steps = list(Transition.objects.filter(cycle=cycle).order_by("id"))
    assert all(step.to_state in TRANSITIONS[step.from_state] for step in steps)
    epochs = [step.epoch for step in steps]
    assert epochs == sorted(epochs)
    frames = list(Frame.objects.filter(cycle=cycle).order_by("seq"))
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
    assert [frame.epoch for frame in frames] == sorted(frame.epoch for frame in frames)
    seen: list[int] = []
    for frame in frames:
        if "resume_step" in frame.payload:
            seen = [step for step in seen if step <= frame.payload["resume_step"]]
        if frame.points:
            seen += json.loads(frame.points)["step"]
    assert seen == list(range(1, cycle.total_steps + 1))
    assert Checkpoint.objects.filter(cycle=cycle).count() == 1


@pytest.mark.parametrize("victim", ["trainer", "supervisor", "both"])
def test_killed_in_the_middle_it_resumes_to_the_same_bits(
    victim: str, lab: Lab, database_url: str, log: Path
) -> None:
    cycle = lab.wake(0, **RECIPE)
    with process(*SHIFT, database_url=database_url, log=log) as supervisor:
        at_step(cycle, KILL_AT)
        trainer = trainer_of(cycle)
        if victim in {"supervisor", "both"}:
            supervisor.kill()
        if victim in {"trainer", "both"}:
            trainer.send_signal(signal.SIGKILL)
        gone(trainer)
        if victim == "trainer":
            done = finished(cycle)
    if victim != "trainer":
        assert Cycle.objects.get(pk=cycle.pk).state in ACTIVE
        eventually(reap, timeout=10, what="the reaper's turn")
        assert Cycle.objects.get(pk=cycle.pk).state == State.QUEUED
        with process(*SHIFT, database_url=database_url, log=log):
            done = finished(cycle)
    assert (done.state, done.attempt) == (State.SUCCEEDED, 2), log.read_text()
    assert done.max_attempts == (5 if victim == "trainer" else 6)
    resumed = [
        frame.payload["resume_step"]
        for frame in Frame.objects.filter(cycle=cycle, kind="data").order_by("seq")
        if "resume_step" in frame.payload
    ]
    assert len(resumed) == 1
    assert resumed[0] >= 400
    check_history(done)
    assert Checkpoint.objects.get(cycle=done).sha256 == unbroken(lab, database_url, log)


def test_begun_anew_for_want_of_a_snapshot_it_supersedes_all_that_was_told(
    lab: Lab, database_url: str, log: Path
) -> None:
    cycle = lab.wake(0, **RECIPE)
    with process(*SHIFT, database_url=database_url, log=log) as supervisor:
        at_step(cycle, KILL_AT)
        trainer = trainer_of(cycle)
        supervisor.kill()
        trainer.send_signal(signal.SIGKILL)
        gone(trainer)
    Snapshot.objects.filter(cycle=cycle).delete()
    eventually(reap, timeout=10, what="the reaper's turn")
    with process(*SHIFT, database_url=database_url, log=log):
        done = finished(cycle)
    assert (done.state, done.attempt) == (State.SUCCEEDED, 2), log.read_text()
    frames = Frame.objects.filter(cycle=cycle, kind="data", epoch=done.epoch).order_by("seq")
    assert [f.payload["resume_step"] for f in frames if "resume_step" in f.payload] == [0]
    check_history(done)
    assert Checkpoint.objects.get(cycle=done).sha256 == unbroken(lab, database_url, log)


def test_a_frozen_supervisor_is_overtaken_and_changes_nothing_any_more(
    lab: Lab, database_url: str, log: Path
) -> None:
    cycle = lab.wake(0, **RECIPE)
    with process(*SHIFT, database_url=database_url, log=log) as frozen:
        at_step(cycle, KILL_AT)
        trainer = trainer_of(cycle)
        frozen.send_signal(signal.SIGSTOP)
        eventually(reap, timeout=10, what="the reaper's turn")
        with process(*SHIFT, database_url=database_url, log=log, NOCTURNE_WORKER_INDEX="1"):
            eventually(
                lambda: Cycle.objects.get(pk=cycle.pk).state in ACTIVE, what="the second worker's claim"
            )
            frozen.send_signal(signal.SIGCONT)
            gone(trainer)
            done = finished(cycle)
    assert done.attempt == 2
    check_history(done)


def test_cancelling_in_the_middle(lab: Lab, database_url: str, log: Path) -> None:
    cycle = lab.wake(0, **(RECIPE | {"epochs": 2000}))
    waiting = lab.wake(1, epochs=1)
    with process(*SHIFT, database_url=database_url, log=log):
        at_step(cycle, 50)
        trainer = trainer_of(cycle)
        assert cycle_cancel(actor=lab.alice, cycle=cycle).state == State.CANCELLING
        eventually(
            lambda: Cycle.objects.get(pk=cycle.pk).state == State.CANCELLED, timeout=10, what="the cancel"
        )
        gone(trainer)
        # The next one is not begun from nothing: its sentence says why it cannot.
        failed = failure(waiting)
    assert failed.error_code == "cycle.no_checkpoint"
    assert not Checkpoint.objects.exists()
    assert not list(Path(log.parent).glob("**/work"))


def test_a_deploy_gives_the_cycle_back_uncharged(lab: Lab, database_url: str, log: Path) -> None:
    cycle = lab.wake(0, **RECIPE)
    with process(*SHIFT, database_url=database_url, log=log) as supervisor:
        at_step(cycle, KILL_AT)
        supervisor.terminate()
        assert supervisor.wait(30) == 0
    now = Cycle.objects.get(pk=cycle.pk)
    assert (now.state, now.attempt, now.max_attempts) == (State.QUEUED, 0, 5), log.read_text()
    assert now.transitions.latest("id").reason == "worker_stopping"
    with process(*SHIFT, database_url=database_url, log=log):
        check_history(finished(cycle))


def test_a_trainer_that_dies_each_time_ends_with_its_signal_named(
    lab: Lab, database_url: str, log: Path
) -> None:
    cycle = lab.wake(0, **(RECIPE | {"epochs": 2000}))
    Cycle.objects.filter(pk=cycle.pk).update(max_attempts=2)
    with process(*SHIFT, database_url=database_url, log=log):
        for epoch in (1, 3):
            trainer_of(cycle, epoch).send_signal(signal.SIGKILL)
        failed = failure(cycle)
    assert failed.error_code == "cycle.trainer_died"
    assert "SIGKILL" in failed.error_message
    assert "2 times" in failed.error_message
