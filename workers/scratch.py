"""The folders of a cycle's attempts. A file system cannot fence, so every path carries its epoch."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from webapp.cycles.models import Snapshot
from workers.job import OUT_DIR, WORK_DIR

if TYPE_CHECKING:
    from uuid import UUID

    from webapp.cycles.models import Cycle


def cycle_folder(cycle_id: UUID) -> Path:
    """Everything of one cycle."""
    return Path(settings.CYCLES_DIR) / str(cycle_id)


def attempt_folder(cycle: Cycle) -> Path:
    """The folder of the cycle's present epoch, made when it is missing."""
    folder = cycle_folder(cycle.pk) / f"e{cycle.epoch}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def snapshot_folder(work: Path, announced: str) -> str | None:
    """`announced` (an engine's snapshot path) relative to CYCLES_DIR, if it exists inside `work`."""
    path = (work / announced).resolve()
    if not path.is_relative_to(work.resolve()) or not path.exists():
        return None
    return str(path.relative_to(Path(settings.CYCLES_DIR).resolve()))


def resume_into(cycle: Cycle, work: Path) -> bool:
    """Copy the work folder of the newest snapshot into a fresh one; False when there is nothing to resume.

    The whole folder is taken: the engine keeps more than one snapshot and picks the newest whole one. A
    copy and no link: a trainer that was cut off may still be writing there.
    """
    for snapshot in Snapshot.objects.filter(cycle=cycle).order_by("-id")[:4]:
        old = cycle_folder(cycle.pk) / f"e{snapshot.epoch}" / WORK_DIR
        if (Path(settings.CYCLES_DIR) / snapshot.folder).exists() and old != work:
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(old, work, ignore=shutil.ignore_patterns("*.part", "tmp-*"))
            return True
    work.mkdir(exist_ok=True)
    return False


def clear(cycle_id: UUID, *, keep_epoch: int | None = None) -> None:
    """Remove the big files of ended attempts; job.json and the log stay for whoever asks what happened."""
    for folder in cycle_folder(cycle_id).glob("e*"):
        if folder.name == f"e{keep_epoch}":
            continue
        for name in (WORK_DIR, OUT_DIR, "home"):
            shutil.rmtree(folder / name, ignore_errors=True)
