"""R17: the clocks of workers do not matter; only the database's time decides."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db.models.functions import Now

from tests.chaos.history import check
from tests.chaos.watching import now
from tests.support.jobs import eventually
from tests.support.processes import at_step, process
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle, Transition
from webapp.fleet.models import Worker
from webapp.live.models import Frame

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.jobs import Lab

pytestmark = pytest.mark.timeout(120)
SKEWED = ("-m", "tests.support.skewed")


def test_a_worker_and_a_reaper_whose_clocks_are_wrong_in_opposite_ways(
    lab: Lab, database_url: str, log: Path
) -> None:
    cycle = lab.wake(0, epochs=48)
    given: dict[str, Any] = {"database_url": database_url, "log": log}
    with (
        process(*SKEWED, "-600", "tests.support.shift", **given),
        process(*SKEWED, "600", "tests.support.reaping", **given),
    ):
        at_step(cycle, 100)
        held = Cycle.objects.annotate(database_time=Now()).get(pk=cycle.pk)
        assert held.lease_expires_at is not None
        assert timedelta(0) < held.lease_expires_at - held.database_time < timedelta(seconds=2)
        eventually(lambda: now(cycle).state == State.SUCCEEDED, timeout=60, what="the end")
    assert (now(cycle).attempt, now(cycle).epoch) == (1, 1), log.read_text()
    assert "reaping" in log.read_text()
    near = timedelta(minutes=5)
    about = Cycle.objects.annotate(database_time=Now()).get(pk=cycle.pk)
    times = [about.started_at, about.finished_at, about.heartbeat_at, Worker.objects.get().heartbeat_at]
    times += Transition.objects.values_list("at", flat=True)
    times += Frame.objects.values_list("committed_at", flat=True)
    assert all(at is not None and abs(at - about.database_time) < near for at in times)
    assert check() == []
