"""Pause, resume and extend with a real trainer: nothing is lost, repeated or computed otherwise."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from tests.chaos.test_crashes import check_history
from tests.support.jobs import Lab, eventually, worker
from tests.support.processes import at_step, gone, trainer_of
from tests.workers.conftest import Run, trainer_log
from webapp.checkpoints.models import Checkpoint
from webapp.cycles.choices import State
from webapp.cycles.claim import claim
from webapp.cycles.models import Cycle
from webapp.cycles.steering import cycle_extend, cycle_pause, cycle_resume
from webapp.live.history import points_between
from webapp.live.models import Frame
from workers.devices import Device
from workers.lease import boottime
from workers.supervisor import Attempt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.outcome import Ending

pytestmark = pytest.mark.timeout(180)
# Long enough that a wish arrives in the middle, whatever else the machine does.
RECIPE = {"epochs": 60, "snapshot_every_steps": 400, "snapshot_every_s": 0}


class Shift:
    """Supervises cycle after cycle in a thread, as a nights worker does."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        from django.db import connection

        while not self.stopping.wait(0.1):
            began = boottime()
            cycle = claim(worker=worker())
            if cycle is not None:
                device = Device("cpu", 0)
                Attempt(cycle, began=began, device=device, stopping=self.stopping).run()
        connection.close()

    def end(self) -> None:
        self.stopping.set()
        self._thread.join(40)


@pytest.fixture
def shift(lab: Lab, short_lease: None) -> Iterator[Shift]:
    made = Shift()
    yield made
    made.end()


def reached(cycle: Cycle, state: str) -> Cycle:
    found = Cycle.objects.filter(pk=cycle.pk, state=state)
    made = eventually(found.first, timeout=60, what=f"{state}: {trainer_log(cycle)}")
    assert made is not None
    return made


def test_paused_and_resumed_it_ends_in_the_bits_of_the_unbroken_run(lab: Lab, shift: Shift) -> None:
    whole = lab.another_project("unbroken").wake(0, **RECIPE)
    reached(whole, State.SUCCEEDED)
    cycle = lab.wake(0, **RECIPE)
    at_step(cycle, 200)
    trainer = trainer_of(cycle)
    cycle_pause(actor=lab.alice, cycle=cycle)
    paused = reached(cycle, State.PAUSED)
    gone(trainer)
    assert (paused.attempt, paused.worker, paused.lease_expires_at) == (0, None, None)
    # The project is free meanwhile, and so is the worker.
    other = lab.another_project("between").wake(0, epochs=1)
    reached(other, State.SUCCEEDED)
    assert Cycle.objects.get(pk=cycle.pk).state == State.PAUSED
    cycle_resume(actor=lab.alice, cycle=cycle)
    done = reached(cycle, State.SUCCEEDED)
    check_history(done)
    made = [Checkpoint.objects.get(cycle=one).sha256 for one in (whole, done)]
    assert made[0] == made[1]
    told = [f.payload["resume_step"] for f in Frame.objects.filter(cycle=cycle) if "resume_step" in f.payload]
    assert len(told) == 1
    assert told[0] >= 200, "it went on from the snapshot of its pause, not from an older one"


def test_an_extension_after_the_last_step_is_taken_back_and_told(
    lab: Lab, run_next: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    cycle = lab.wake(0, epochs=1)
    trained = Attempt._train

    def train(self: Attempt, again: bool) -> Ending:
        ending = trained(self, again)
        Cycle.objects.filter(pk=cycle.pk).update(stage="learning")
        cycle_extend(actor=lab.alice, cycle=cycle, share=0.5)
        return ending

    monkeypatch.setattr(Attempt, "_train", train)
    done = run_next()
    assert (done.state, done.extended) == (State.SUCCEEDED, 0)
    told = [event for frame in Frame.objects.filter(cycle=cycle) for event in frame.payload.get("events", [])]
    assert any("came after the last step" in event.get("message", "") for event in told)


def test_extended_while_it_runs_it_goes_on_at_once_on_the_same_worker(lab: Lab, shift: Shift) -> None:
    cycle = lab.wake(0, **RECIPE)
    planned = at_step(cycle, 100).total_steps
    cycle_extend(actor=lab.alice, cycle=cycle, share=0.5)
    done = reached(cycle, State.SUCCEEDED)
    assert done.total_steps == done.step == -(-planned * 3 // 2)
    assert (done.attempt, done.epoch) == (1, 1), "no attempt was spent and the lease was never given up"
    steps: list[int] = []
    for frame in Frame.objects.filter(cycle=cycle).order_by("seq"):
        if "resume_step" in frame.payload:
            steps = [step for step in steps if step <= frame.payload["resume_step"]]
        steps += json.loads(frame.points)["step"] if frame.points else []
    assert steps == list(range(1, done.total_steps + 1))
    flushes = [
        f.payload["flush"]
        for f in Frame.objects.filter(cycle=cycle, kind="data").order_by("seq")
        if "flush" in f.payload
    ]
    assert flushes == list(range(1, len(flushes) + 1)), "one stream: a retry takes no frame for another"
    for low in range(1, done.total_steps, 1000):
        high = min(low + 999, done.total_steps)
        told = points_between(cycle.pk, low, high)["points"]["key"]
        assert told == list(range(low, high + 1)), "and history has no hole"
