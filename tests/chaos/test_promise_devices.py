"""R9 and R10: deploys lose nothing, dead workers are noticed, and a trainer that stands still is ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from tests.chaos.history import check
from tests.chaos.watching import now, reached, supervise
from tests.support.jobs import eventually
from tests.support.processes import SHIFT, at_step, gone, process, trainer_of
from webapp.cycles.choices import State

if TYPE_CHECKING:
    from pathlib import Path

    import psutil

    from tests.support.jobs import Lab
    from webapp.cycles.models import Cycle

pytestmark = pytest.mark.timeout(120)
LEASE, SLACK = 2.0, 2.0


def test_one_that_dies_before_its_first_renewal_is_noticed(lab: Lab, database_url: str, log: Path) -> None:
    cycle = lab.wake(0, epochs=1)
    armed = {"NOCTURNE_FAULTS": "claim.after_commit:kill"}
    with process(*SHIFT, database_url=database_url, log=log, **armed) as shift:
        assert shift.wait(30) == -signal.SIGKILL, log.read_text()
    died_at = time.monotonic()
    assert now(cycle).state == State.STARTING
    again = reached(cycle, {State.QUEUED}, timeout=10)
    assert time.monotonic() - died_at < LEASE + SLACK
    assert (again.attempt, again.max_attempts, again.epoch) == (1, 6, 2)


def test_a_deploy_without_patience_loses_nothing(lab: Lab, database_url: str, log: Path) -> None:
    """SIGTERM, and SIGKILL before the snapshot is written."""
    cycle = lab.wake(0, epochs=24, snapshot_every_steps=200, snapshot_every_s=0)
    with process(*SHIFT, database_url=database_url, log=log) as shift:
        at_step(cycle, 300)
        trainer = trainer_of(cycle)
        shift.terminate()
        shift.kill()
    gone(trainer)
    again = reached(cycle, {State.QUEUED}, timeout=10)
    assert again.attempt == 1
    assert again.max_attempts == 6
    assert reached_the_end(cycle, database_url, log).attempt == 2
    assert check() == []


def reached_the_end(cycle: Cycle, database_url: str, log: Path) -> Cycle:
    with process(*SHIFT, database_url=database_url, log=log):
        return reached(cycle, {State.SUCCEEDED})


def test_a_trainer_that_somebody_froze_is_ended_and_tried_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.watchdog.FROZEN_SECONDS", 1.0)
    cycle = lab.wake(0, epochs=2000)

    def work() -> None:
        try:
            supervise()
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    at_step(cycle, 1)
    trainer: psutil.Process = trainer_of(cycle)
    os.kill(trainer.pid, signal.SIGSTOP)
    thread.join(30)
    assert not thread.is_alive()
    gone(trainer)
    again = now(cycle)
    assert (again.state, again.attempt, again.max_attempts) == (State.QUEUED, 1, 5)
    assert again.transitions.latest("id").reason == "cycle.frozen"


def test_an_orphan_dies_with_its_supervisor_even_while_it_is_frozen(
    lab: Lab, database_url: str, log: Path
) -> None:
    cycle = lab.wake(0, epochs=2000)
    with process(*SHIFT, database_url=database_url, log=log) as shift:
        at_step(cycle, 1)
        trainer = trainer_of(cycle)
        os.kill(trainer.pid, signal.SIGSTOP)
        shift.kill()
        gone(trainer, timeout=5)
    assert eventually(lambda: reached(cycle, {State.QUEUED}, timeout=10), what="the reaper's turn")
