"""Work folders of cycles that are no more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from workers.chores import CHORES
from workers.leftovers import cycle_folders_collect
from workers.scratch import attempt_folder

if TYPE_CHECKING:
    from django.conf import LazySettings

    from tests.support.jobs import Lab


@pytest.fixture(autouse=True)
def work(tmp_path: Path, settings: LazySettings) -> Path:
    folder = tmp_path / "cycles"
    settings.CYCLES_DIR = folder
    return folder


def folder(work: Path, name: str = "") -> Path:
    made = work / (name or str(uuid4()))
    (made / "e1" / "work").mkdir(parents=True)
    (made / "e1" / "work" / "snapshot").write_bytes(b"x")
    return made


def collect(older_than: float = -1.0) -> int:
    return cycle_folders_collect(every=0, older_than=older_than)


def test_folders_without_a_row_go_and_the_others_stay(lab: Lab, work: Path) -> None:
    kept = attempt_folder(lab.wake(0))
    gone, other = folder(work), folder(work, "notes")
    assert collect() == 1
    assert not gone.exists()
    assert kept.exists()
    assert other.exists()


def test_a_folder_in_which_somebody_works_stays(lab: Lab, work: Path) -> None:
    attempt_folder(lab.wake(0))
    busy = folder(work)
    for path in (busy, busy / "e1", busy / "e1" / "work"):
        os.utime(path, (0, 0))
    assert collect(older_than=3600) == 0
    assert cycle_folders_collect(every=0) == 0
    assert busy.exists()


def test_a_database_that_knows_none_of_them_touches_none(lab: Lab, work: Path) -> None:
    folders = [folder(work) for _ in range(3)]
    assert collect() == 0
    assert all(path.exists() for path in folders)


def test_links_are_not_followed(lab: Lab, work: Path, tmp_path: Path) -> None:
    attempt_folder(lab.wake(0))
    outside = folder(tmp_path / "outside")
    (work / str(uuid4())).symlink_to(outside)
    inside = folder(work)
    (inside / "e1" / "link").symlink_to(outside)
    assert collect() == 1
    assert (outside / "e1" / "work" / "snapshot").exists()


def test_once_an_hour(lab: Lab, work: Path) -> None:
    attempt_folder(lab.wake(0))
    assert collect() == 0
    folder(work)
    assert cycle_folders_collect(older_than=-1.0) == 0
    assert collect() == 1
    assert "cycle_folders_collect" in CHORES
