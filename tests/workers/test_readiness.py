"""What a worker looks at before it takes a cycle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from webapp.core.store_identity import store_ensure
from workers.readiness import worker_problem

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings


@pytest.fixture
def folders(db: None, settings: LazySettings, tmp_path: Path) -> Path:
    settings.STORE_DIR = tmp_path / "store"
    settings.CYCLES_DIR = tmp_path / "cycles"
    store_ensure()
    return tmp_path


def test_all_is_well_and_nothing_is_left_behind(folders: Path) -> None:
    assert worker_problem() == ("", "")
    assert list((folders / "cycles").iterdir()) == []


def test_a_store_that_is_not_mounted(folders: Path) -> None:
    (folders / "store").rename(folders / "away")
    (folders / "store").mkdir()
    code, sentence = worker_problem()
    assert code == "store.not_mounted"
    assert "not mounted" in sentence and str(folders) not in sentence


def test_a_folder_of_cycles_that_cannot_be_written(folders: Path) -> None:
    (folders / "cycles").write_text("in the way")
    code, sentence = worker_problem()
    assert code == "worker.cycles_folder"
    assert "NOCTURNE_CYCLES" in sentence and str(folders) not in sentence
