"""Folders of cycles whose row is gone: their project or workspace was deleted; nobody goes on from them."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.conf import settings

from webapp.core.store_collect import EVERY_SECONDS, age_limit_passed, old_seconds, turn_taken
from webapp.core.store_identity import StoreAway, store_check
from webapp.cycles.models import Cycle

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)
# Folders asked about in one query, and deleted in one turn.
_CHUNK: Final = 1000
AT_ONCE: Final = 100


def cycle_folders_collect(*, every: float = EVERY_SECONDS, older_than: float | None = None) -> int:
    """Once in a while, for the work folders on this machine.

    A database that knows none of them is not theirs (a wrong DATABASE_URL), so then all stay.

    Args:
        every: seconds between two turns.
        older_than: seconds since the last change in the folder; usually `old_seconds()`.

    Returns:
        How many folders were deleted.
    """
    work = Path(settings.CYCLES_DIR)
    try:
        store_check()
    except StoreAway:
        return 0
    if not work.is_dir() or (now := turn_taken(work / ".nocturne-collect", every)) is None:
        return 0
    limit = now - (old_seconds() if older_than is None else older_than)
    found = _folders(work)
    ids = sorted(found)
    known: set[UUID] = set()
    for place in range(0, len(ids), _CHUNK):
        known |= set(Cycle.objects.filter(pk__in=ids[place : place + _CHUNK]).values_list("pk", flat=True))
    if not known:
        return 0
    gone = (found[cycle_id] for cycle_id in ids if cycle_id not in known)
    return sum(_take(folder) for folder in _first(gone, limit))


def _folders(work: Path) -> dict[UUID, Path]:
    found = {}
    for entry in os.scandir(work):
        with suppress(ValueError):
            if entry.is_dir(follow_symlinks=False):
                found[UUID(entry.name)] = Path(entry.path)
    return found


def _first(folders: Iterator[Path], limit: float) -> Iterator[Path]:
    """Those in which nothing was changed for long enough, at most AT_ONCE of them."""
    left = AT_ONCE
    for folder in folders:
        if left and _untouched(folder, limit):
            left -= 1
            yield folder


def _untouched(folder: Path, limit: float) -> bool:
    for parent, _names, files in os.walk(folder):
        for path in (Path(parent), *(Path(parent) / name for name in files)):
            try:
                if not age_limit_passed(path.lstat(), limit):
                    return False
            except FileNotFoundError:
                return False  # somebody works there
    return True


def _take(folder: Path) -> bool:
    logger.info("collected the folder of cycle %s: its row is gone", folder.name)
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
