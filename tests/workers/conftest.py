from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.jobs import Lab, worker
from webapp.cycles.claim import claim
from webapp.cycles.models import Cycle
from workers.devices import Device
from workers.lease import boottime
from workers.supervisor import Attempt

if TYPE_CHECKING:
    from django.conf import LazySettings


@pytest.fixture
def lab(transactional_db: None) -> Lab:
    """Committed rows: a supervisor's threads have connections of their own."""
    return Lab.make()


@pytest.fixture
def short_lease(settings: LazySettings) -> None:
    """Two seconds instead of 45, and snapshots all the time."""
    settings.CYCLE_LEASE_SECONDS = 2
    settings.SNAPSHOT_SECONDS = 0


@pytest.fixture(autouse=True)
def one_thread(settings: LazySettings) -> None:
    settings.TRAINER_THREADS = 1


Run = Callable[[], Cycle]


@pytest.fixture
def run_next() -> Run:
    """Claim the next cycle and supervise it here, with a real trainer; its row afterwards."""

    def run() -> Cycle:
        began = boottime()
        cycle = claim(worker=worker())
        assert cycle is not None
        Attempt(cycle, began=began, device=Device("cpu", 0), stopping=threading.Event()).run()
        return Cycle.objects.get(pk=cycle.pk)

    return run


def trainer_log(cycle: Cycle) -> str:
    """What the trainers of a cycle printed, for a failing test's message."""
    folder = Path(os.environ["NOCTURNE_DATA"]) / "cycles" / str(cycle.pk)
    return "\n".join(path.read_text() for path in sorted(folder.glob("e*/trainer.log")))
