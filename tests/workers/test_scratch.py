"""What attempts leave on the disk: kept when it matters, gone when nobody wants it any more."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from django.utils import timezone
from safetensors.numpy import save_file

from tests.support.jobs import Lab
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle, Snapshot
from workers import scratch
from workers.devices import Device

if TYPE_CHECKING:
    from django.conf import LazySettings


@pytest.fixture
def lab(db: None) -> Lab:
    return Lab.make()


def heavy_folder(cycle: Cycle) -> Path:
    folder = scratch.attempt_folder(cycle) / "work"
    folder.mkdir()
    (folder / scratch.SNAPSHOT).write_bytes(b"x" * 100)
    return folder


def test_what_an_ended_cycle_left_is_cleared_and_a_waiting_one_keeps_its_snapshots(
    lab: Lab, settings: LazySettings, tmp_path: Path
) -> None:
    settings.CYCLES_DIR = tmp_path
    from django.db.models.functions import Now

    ended = Cycle.objects.create(project=lab.project, number=90, kind="sleep", protocol=1)
    Cycle.objects.filter(pk=ended.pk).update(state=State.CANCELLED, finished_at=Now())
    waiting = Cycle.objects.create(project=lab.project, number=91, kind="sleep", protocol=1)
    gone, kept = heavy_folder(ended), heavy_folder(waiting)
    assert scratch.scratch_sweep() == 1
    assert not gone.exists()
    assert kept.exists()
    assert scratch.scratch_sweep() == 0


def test_a_snapshot_from_before_they_were_counted_is_still_good(
    lab: Lab, settings: LazySettings, tmp_path: Path
) -> None:
    settings.CYCLES_DIR = tmp_path
    cycle = lab.wake()
    (tmp_path / "old").mkdir()
    torch_free = {"identity": "x", "stream": {"step": 7}}
    metadata = {scratch.SNAPSHOT_KEY: json.dumps(torch_free)}
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "old" / scratch.SNAPSHOT, metadata)
    Snapshot.objects.create(
        cycle=cycle, epoch=1, step=7, stage="learning", folder="old", created_at=timezone.now()
    )
    assert scratch.resume_into(cycle, tmp_path / "work")
    assert (tmp_path / "work" / scratch.SNAPSHOT).exists()


@pytest.mark.parametrize("names", [("cuda", "cuda:0"), ("mps", "mps")])
def test_one_gpu_is_one_device_however_it_is_spelt(names: tuple[str, str]) -> None:
    keys = [Device(name, 0).lease_key for name in names]
    assert keys[0] == keys[1]
    assert Device("cuda:1", 0).lease_key not in keys


def test_a_disk_without_links_gets_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    source = tmp_path / "a"
    source.write_bytes(b"abc")
    scratch._link(source, tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"abc"


def test_a_full_disk_is_not_told_as_a_missing_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="No space"):
        scratch._link(tmp_path / "a", tmp_path / "b")
