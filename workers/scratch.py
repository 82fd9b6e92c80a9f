"""The folders of a cycle's attempts. A file system cannot fence, so every path carries its epoch."""

from __future__ import annotations

import errno
import json
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from consolidation.errors import NocturneInputError
from consolidation.formats.safetensors import read_header
from webapp.core.faults import fault
from webapp.cycles.choices import TERMINAL
from webapp.cycles.models import Cycle, Snapshot
from workers.job import MEMORIES, MODEL, OUT_DIR, WORK_DIR, fsync

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

KEPT_DIR: Final = "snapshots"
# The engine's names (consolidation.snapshot, which would load torch).
SNAPSHOT: Final = "snapshot.safetensors"
SNAPSHOT_KEY: Final = "nocturne.snapshot"


def cycle_folder(cycle_id: UUID) -> Path:
    """Everything of one cycle."""
    return Path(settings.CYCLES_DIR) / str(cycle_id)


def attempt_folder(cycle: Cycle) -> Path:
    """The folder of the cycle's present epoch, made when it is missing."""
    folder = cycle_folder(cycle.pk) / f"e{cycle.epoch}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def snapshot_keep(work: Path, event: Mapping[str, Any]) -> str | None:
    """Keep the snapshot that `event` announces, exactly that one, in a folder of its own.

    The engine goes on writing new ones under the same name, and a trainer whose supervisor is frozen does so
    unheard; a cycle must only go on from what its stream has told. A link is enough: snapshots are never
    written in place. The two newest are kept.

    Returns:
        The folder relative to CYCLES_DIR; None when that snapshot was replaced already (its successor's event
        is on the way).
    """
    for path in sorted(work.glob("*.safetensors")):
        if _snapshot_number(path) == event.get("number"):
            break
    else:
        return None
    kept = work.parent / KEPT_DIR
    number = 1 + max((int(folder.name) for folder in kept.glob("*")), default=0)
    folder = kept / str(number)
    folder.mkdir(parents=True)
    try:
        fault("snapshot.before_link")
        _link(path, folder / SNAPSHOT)
        fault("snapshot.after_link")
        if _snapshot_number(folder / SNAPSHOT) != event.get("number"):
            shutil.rmtree(folder)
            return None
        fsync(folder)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, FileNotFoundError):
            return None  # replaced between our look and our link
        raise
    # Only once the new one's row is there: until then the older ones are all that there is to go on from.
    transaction.on_commit(lambda: _prune(kept, number))
    return str(folder.relative_to(settings.CYCLES_DIR))


def _prune(kept: Path, newest: int) -> None:
    for old in kept.glob("*"):
        if int(old.name) < newest - 1:
            shutil.rmtree(old, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    """A second name for a file that is never written in place; a copy where the disk has no links."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP}:
            raise
        shutil.copyfile(source, target)
        fsync(target)


def _snapshot_number(path: Path) -> int | None:
    """Which of the run's snapshots this is; None when it is none, or not whole."""
    try:
        # 0: written before snapshots were counted, and so does its row say.
        return int(json.loads(read_header(path).metadata[SNAPSHOT_KEY]).get("number", 0))
    except (NocturneInputError, OSError, KeyError, TypeError, ValueError, AttributeError):
        return None


def resume_into(cycle: Cycle, work: Path) -> bool:
    """Put the newest kept snapshot into a fresh work folder; False when there is nothing to resume."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for snapshot in Snapshot.objects.filter(cycle=cycle).order_by("-id")[:4]:
        path = Path(settings.CYCLES_DIR) / snapshot.folder / SNAPSHOT
        if _snapshot_number(path) == snapshot.number:
            shutil.copyfile(path, work / SNAPSHOT)
            return True
    return False


def scratch_sweep() -> int:
    """Clear what lately ended cycles left because nobody could do it then: killed between the commit and the
    cleaning, or cancelled while no worker had them. How many there were."""
    ended = Cycle.objects.filter(state__in=TERMINAL, finished_at__gt=Now() - timedelta(days=1))
    heavy = [pk for pk in ended.values_list("pk", flat=True) if _heavy(cycle_folder(pk))]
    for pk in heavy:
        clear(pk)
    return len(heavy)


def _heavy(folder: Path) -> bool:
    names = (WORK_DIR, KEPT_DIR, OUT_DIR)
    return any((attempt / name).exists() for attempt in folder.glob("e*") for name in names)


def clear(cycle_id: UUID) -> None:
    """Remove the big files of ended attempts; job.json and the log stay for whoever asks what happened."""
    for folder in cycle_folder(cycle_id).glob("e*"):
        for name in (WORK_DIR, KEPT_DIR, OUT_DIR, "home"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in (MODEL, MEMORIES):
            (folder / name).unlink(missing_ok=True)
