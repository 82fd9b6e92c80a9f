from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.jobs import Lab
from webapp.live.models import Frame

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings

    from webapp.cycles.models import Cycle


@pytest.fixture
def lab(transactional_db: None, settings: LazySettings) -> Lab:
    settings.TRAINER_THREADS = 1
    settings.CYCLE_LEASE_SECONDS = 2
    return Lab.make()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a test's processes say what they do."""
    return tmp_path / "processes.log"


def resumed_at(cycle: Cycle) -> list[int]:
    """The steps at which attempts went on from a snapshot."""
    frames = Frame.objects.filter(cycle=cycle, kind="data").order_by("seq")
    return [frame.payload["resume_step"] for frame in frames if "resume_step" in frame.payload]
