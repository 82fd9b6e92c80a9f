from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.jobs import Lab

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings


@pytest.fixture
def lab(transactional_db: None, settings: LazySettings) -> Lab:
    settings.TRAINER_THREADS = 1
    settings.CYCLE_LEASE_SECONDS = 2
    return Lab.make()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a test's processes say what they do."""
    return tmp_path / "processes.log"
