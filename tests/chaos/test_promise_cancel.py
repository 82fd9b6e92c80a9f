"""R8: exactly one of cancel and publish wins, also when they meet."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection

from tests.chaos.history import check
from tests.chaos.watching import now, reached, supervise
from tests.support.jobs import Lab, eventually
from webapp.checkpoints.models import Checkpoint
from webapp.core import faults
from webapp.core.errors import Conflict
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle
from webapp.cycles.steering import cycle_cancel
from workers.job import OUT_DIR
from workers.scratch import cycle_folder

pytestmark = pytest.mark.timeout(120)


@contextmanager
def working() -> Iterator[None]:
    """One attempt in a thread of its own."""

    def run() -> None:
        try:
            supervise()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(60)


def test_a_cancel_that_comes_when_the_work_is_done_but_not_published_wins(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOCTURNE_FAULTS", "leave.after_rename:sleep:1.5")
    cycle = lab.wake(0, epochs=1)
    with working():
        eventually((cycle_folder(cycle.pk) / "e1" / OUT_DIR).exists, what="the whole result")
        assert cycle_cancel(actor=lab.alice, cycle=cycle).state == State.CANCELLING
    assert now(cycle).state == State.CANCELLED
    assert not Checkpoint.objects.exists()
    assert check() == []


def test_a_cancel_that_comes_while_it_publishes_is_told_so_and_loses(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = faults.FaultKit(faults.parse("verify.begin:sleep:1.5"))
    monkeypatch.setattr("workers.verifying.fault", slow)
    cycle = lab.wake(0, epochs=1)
    with working():
        reached(cycle, {State.PUBLISHING})
        with pytest.raises(Conflict) as told:
            cycle_cancel(actor=lab.alice, cycle=cycle)
    assert told.value.code == "cycle.publishing"
    assert now(cycle).state == State.SUCCEEDED
    assert Checkpoint.objects.filter(cycle=cycle).count() == 1
    assert check() == []


def test_one_that_waits_is_cancelled_at_once_and_stays_so(lab: Lab) -> None:
    cycle, other = lab.wake(0, epochs=1), lab.another_project().wake(0, epochs=1)
    assert cycle_cancel(actor=lab.alice, cycle=cycle).state == State.CANCELLED
    with pytest.raises(Conflict):
        cycle_cancel(actor=lab.alice, cycle=cycle)
    assert supervise().pk == other.pk
    assert Cycle.objects.get(pk=cycle.pk).state == State.CANCELLED
    assert check() == []
