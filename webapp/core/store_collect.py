"""Collection: files in the store that no row claims, left by a crash between their rename and its commit.

A file is taken only when it is old (twice a lease and a grace, by the file system's own clock), when its
workspace is known, and under the lock of `store_put`, which is held until the row is committed or gone. Links
are never followed. A folder of a workspace that the database does not know stays: a wrong DATABASE_URL must
not cost anybody's models.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction

from webapp.accounts.models import Workspace
from webapp.core.places import places
from webapp.core.store import PUBLISH_PREFIX, store_lock
from webapp.core.store_identity import StoreAway, store_check
from webapp.core.store_release import contents_release_forgotten
from webapp.uploads.models import StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)
GRACE_SECONDS: Final = 900.0
EVERY_SECONDS: Final = 3600.0
# Files and folders looked at in one turn; the next turn goes on where this one stopped.
AT_ONCE: Final = 20_000
TURN_FILE: Final = ".nocturne-collect"
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_SHELF: Final = re.compile(r"[0-9a-f]{2}")


def old_seconds() -> float:
    """Nothing younger is taken: whoever made it may still be about to commit its row."""
    return 2 * float(settings.CYCLE_LEASE_SECONDS) + GRACE_SECONDS


def store_collect(
    *, every: float = EVERY_SECONDS, at_once: int = AT_ONCE, older_than: float | None = None
) -> int:
    """Once in a while, a bounded walk; any number of processes may do it at once.

    Args:
        every: seconds between two turns.
        at_once: the most files and folders that a turn looks at.
        older_than: seconds; usually `old_seconds()`.

    Returns:
        How many files were deleted.
    """
    try:
        store_check()
    except StoreAway as error:
        logger.warning("%s [%s]", error.message, error.code)
        return 0
    age = old_seconds() if older_than is None else older_than
    roots = [place.root for place in places() if place.root.is_dir()]
    done = sum(_collect_place(root, every, at_once, age) for root in roots)
    return done


def _collect_place(store: Path, every: float, at_once: int, age: float) -> int:
    """One turn in one place of the store, if it is time."""
    turn = store / TURN_FILE
    place = turn.read_text() if turn.is_file() else ""
    now = turn_taken(turn, every)
    if now is None:
        return 0
    limit = now - age
    contents_release_forgotten(older_than=max(age, old_seconds()), at_once=at_once)
    done = _collect_incoming(store / ".incoming", limit, at_once)
    looked, place = 0, place.strip()
    for workspace_id, shelf in _shelves(store, after=place):
        if looked >= at_once:
            break
        looks, taken = _collect_shelf(store, workspace_id, shelf, limit)
        looked, done, place = looked + 1 + looks, done + taken, f"{workspace_id}/{shelf}"
    else:
        place = ""
    turn.write_text(place)
    return done


def turn_taken(path: Path, every: float) -> float | None:
    """Whether it is time again, told by a file that remembers the last turn, and is touched for this one.

    Returns:
        Now, by the clock of the file's own disk, in seconds; None when it is too early.
    """
    with suppress(FileNotFoundError):
        if abs(time.time() - path.stat().st_mtime) < every:
            return None
    path.touch()
    return path.stat().st_mtime


def age_limit_passed(found: os.stat_result, limit: float) -> bool:
    """Whether a file is older than `limit`; a new name for an old file makes it young again."""
    return max(found.st_mtime, found.st_ctime) < limit


def _collect_incoming(incoming: Path, limit: float, at_once: int) -> int:
    """Copies that were to be published, or moved, by a process that died."""
    with _opened(incoming) as folder:
        if folder is None:
            return 0
        names = [name for name in _names(folder) if name.startswith(PUBLISH_PREFIX)]
        return sum(_unlink_old(folder, name, limit) for name in names[:at_once])


def _shelves(store: Path, *, after: str) -> Iterator[tuple[UUID, str]]:
    """(workspace, two digits) of the folders that hold files, in order, behind the place `after`."""
    known = set(Workspace.objects.values_list("pk", flat=True))
    for name in sorted(path.name for path in store.iterdir()):
        if name < after.partition("/")[0] or (workspace := _uuid(name)) not in known or workspace is None:
            continue
        with _opened(store / name) as folder:
            shelves = sorted(_names(folder)) if folder is not None else []
        for shelf in shelves:
            if _SHELF.fullmatch(shelf) and f"{name}/{shelf}" > after:
                yield workspace, shelf


def _collect_shelf(store: Path, workspace_id: UUID, shelf: str, limit: float) -> tuple[int, int]:
    """How many files were looked at, and how many taken."""
    with (
        _opened(store / str(workspace_id)) as above,
        _opened(shelf, inside=above) as folder,
    ):
        if above is None or folder is None:
            return 0, 0
        names = [name for name in _names(folder) if _DIGEST.fullmatch(name)]
        old = {name for name in names if _is_old(folder, name, limit)}
        rows = StoredFile.objects.filter(workspace=workspace_id, sha256__in=old) if old else None
        claimed = set(rows.values_list("sha256", flat=True)) if rows is not None else set()
        return len(names), sum(_take(folder, workspace_id, name, limit) for name in sorted(old - claimed))


def _take(folder: int, workspace_id: UUID, sha256: str, limit: float) -> bool:
    """Delete it, unless somebody is storing it at this moment or has done so meanwhile."""
    with transaction.atomic():
        if not store_lock(workspace_id, sha256, wait=False):
            return False
        if StoredFile.objects.filter(workspace=workspace_id, sha256=sha256).exists():
            return False
        if not _unlink_old(folder, sha256, limit):
            return False
    logger.info("collected %s of workspace %s: no row claims it", sha256, workspace_id)
    return True


def _unlink_old(folder: int, name: str, limit: float) -> bool:
    if not _is_old(folder, name, limit):
        return False
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
        return True
    return False


def _is_old(folder: int, name: str, limit: float) -> bool:
    """A regular file, and old."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and age_limit_passed(found, limit)


@contextmanager
def _opened(path: Path | str, *, inside: int | None = None) -> Iterator[int | None]:
    """A folder's descriptor; None when it is none, or a link."""
    try:
        descriptor = os.open(path, _DIRECTORY, dir_fd=inside)
    except (FileNotFoundError, NotADirectoryError):
        descriptor = None
    except OSError as error:
        logger.warning("a folder of the store is left alone (%s)", error.strerror)
        descriptor = None
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _names(folder: int) -> list[str]:
    return os.listdir(folder)


def _uuid(name: str) -> UUID | None:
    try:
        found = UUID(name)
    except ValueError:
        return None
    return found if str(found) == name else None
