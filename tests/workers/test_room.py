"""Before training: does this worker's disk hold the cycle?"""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.utils import timezone

from tests.webapp.cycles.test_services import checkpoint
from webapp.checkpoints import trash
from webapp.core.store import RESERVE_BYTES
from webapp.cycles.models import Cycle
from webapp.memories.models import RecordSet, Use
from workers import preparing
from workers.chores import CHORES
from workers.devices import Device
from workers.preparing import CannotStart, prepare
from workers.room import NoRoomHere, room_for
from workers.scratch import attempt_folder

if TYPE_CHECKING:
    from tests.support.jobs import Lab

Usage = namedtuple("Usage", "total used free")


def test_a_full_disk_is_told_with_need_and_free(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    cycle = lab.wake(0)
    folder = attempt_folder(cycle)
    free = 0
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, free))
    free = cycle.disk_bytes + RESERVE_BYTES
    room_for(cycle, folder)
    free -= 1
    with pytest.raises(NoRoomHere, match="worker's disk has no room: this cycle needs") as error:
        room_for(cycle, folder)
    assert error.value.code == "cycle.disk_full"
    # What an earlier attempt left there is not needed twice.
    (folder / "snapshot").write_bytes(b"x" * 1000)
    (folder / "the same").hardlink_to(folder / "snapshot")
    room_for(cycle, folder)
    free -= 999
    room_for(cycle, folder)
    free -= 1
    with pytest.raises(NoRoomHere):
        room_for(cycle, folder)
    cycle.disk_bytes = 0
    free = 0
    room_for(cycle, folder)  # not known: it may try
    shutil.rmtree(Path(settings.CYCLES_DIR) / str(cycle.pk))


def test_what_was_erased_while_it_waited_stops_it_before_it_begins(lab: Lab) -> None:
    cycle = lab.wake(0)
    assert cycle.data is not None
    cycle.data.delete()
    cycle.refresh_from_db()
    with pytest.raises(CannotStart, match="erased since") as error:
        prepare(cycle, attempt_folder(cycle), device=Device("cpu", 0))
    assert error.value.code == "replay.revoked"


def test_rechecking_is_a_chore() -> None:
    assert "cycles_recheck" in CHORES


def test_a_wake_begins_from_what_is_current_under_the_projects_lock(lab: Lab) -> None:
    """What was current when its row was read may have been left, and put into the trash, since."""
    first = checkpoint(lab)
    wake = Cycle.objects.select_related("project__current").get(pk=lab.wake(0).pk)
    assert wake.project.current == first
    second = checkpoint(lab)
    trash.checkpoint_trash(actor=lab.alice, checkpoint=first)
    with pytest.raises(CannotStart):  # there is no file behind these rows
        prepare(wake, attempt_folder(wake), device=Device("cpu", 0))
    wake.refresh_from_db()
    assert wake.base == second


def test_a_training_set_in_the_trash_is_not_looked_back_on(lab: Lab) -> None:
    woken = lab.wake(0)
    Cycle.objects.filter(pk=woken.pk).update(state="cancelled")
    checkpoint(lab, cycle=woken)
    lab.put(0, Use.MEMORIES)
    night = Cycle.objects.get(pk=lab.sleep(fresh=500).pk)
    assert preparing._awake(night) is not None
    RecordSet.objects.filter(use=Use.TRAINING).update(trashed_at=timezone.now())
    assert preparing._awake(Cycle.objects.get(pk=night.pk)) is None
