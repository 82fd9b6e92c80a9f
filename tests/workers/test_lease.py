"""The fence: without a renewal the trainer is paused, then killed, whatever the database does."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.jobs import Lab, eventually, worker
from webapp.cycles import claim as claims
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle
from webapp.cycles.steering import cycle_cancel
from workers import lease
from workers.child import Trainer
from workers.lease import LeaseKeeper, boottime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Trainer]:
    """A process group that does nothing for a minute, as the keeper sees a trainer."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], stdin=subprocess.PIPE, start_new_session=True
    )
    trainer = Trainer(process, -1, tmp_path)
    yield trainer
    trainer.close()


def status(trainer: Trainer) -> str:
    return str(psutil.Process(trainer.pid).status())


def held(lab: Lab) -> Cycle:
    lab.wake()
    cycle = claims.claim(worker=worker())
    assert cycle is not None
    return cycle


def test_renewals_keep_the_lease_and_a_wish_to_cancel_arrives(
    lab: Lab, short_lease: None, sleeper: Trainer
) -> None:
    cycle = held(lab)
    with LeaseKeeper(cycle.pk, cycle.epoch, ttl=2, began=boottime()) as keeper:
        keeper.guard(sleeper)
        time.sleep(3)
        assert not keeper.lost.is_set()
        now = Cycle.objects.get(pk=cycle.pk)
        assert now.lease_expires_at > cycle.lease_expires_at  # type: ignore[operator]
        cycle_cancel(actor=lab.alice, cycle=cycle)
        assert keeper.cancelling.wait(2)
        keeper.unguard()
    assert sleeper.poll() is None


def test_an_overtaken_holder_loses_its_trainer(lab: Lab, short_lease: None, sleeper: Trainer) -> None:
    cycle = held(lab)
    with LeaseKeeper(cycle.pk, cycle.epoch, ttl=2, began=boottime()) as keeper:
        keeper.guard(sleeper)
        claims.release(cycle_id=cycle.pk, epoch=None, reason="cycle.worker_lost", free=True)
        assert keeper.lost.wait(3)
        eventually(lambda: sleeper.poll() is not None, timeout=5, what="its end")


def test_a_silent_database_pauses_wakes_and_at_last_kills(
    lab: Lab, short_lease: None, sleeper: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    away = {"now": True}
    real = claims.renew

    def renew(**given: object) -> object:
        if away["now"]:
            raise OperationalError("the database is away")
        return real(**given)  # type: ignore[arg-type]

    monkeypatch.setattr(lease, "renew", renew)
    cycle = held(lab)
    with LeaseKeeper(cycle.pk, cycle.epoch, ttl=2, began=boottime()) as keeper:
        keeper.guard(sleeper)
        eventually(lambda: status(sleeper) == psutil.STATUS_STOPPED, timeout=5, what="the pause")
        assert not keeper.lost.is_set()
        away["now"] = False
        eventually(lambda: status(sleeper) != psutil.STATUS_STOPPED, timeout=5, what="going on")
        away["now"] = True
        assert keeper.lost.wait(10)
        eventually(lambda: sleeper.poll() is not None, timeout=5, what="its end")
    assert Cycle.objects.get(pk=cycle.pk).state == State.STARTING
