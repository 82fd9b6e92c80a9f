"""Where contents lie: one folder or several, behind the same five verbs: put, find, discard, contents, free.

`NOCTURNE_STORE` is the place called "local". `NOCTURNE_STORES` names more, such as a folder that all machines
share, and `NOCTURNE_STORE_NEW` says which of them new content goes to. Reading finds it in any of them, so
content can be moved while people work (`manage.py store_move`). Whoever calls `put` or `discard` holds the
content's lock (`core.store.store_lock`).
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.conf import settings

from webapp.core.faults import fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

LOCAL: Final = "local"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Place:
    """A folder: one below it for each workspace, one below that for the first two digits, then the file."""

    name: str
    root: Path

    @property
    def incoming(self) -> Path:
        """For what is about to be put here: on the same disk, so that it is one rename."""
        return self.root / ".incoming"

    def path(self, workspace_id: UUID, sha256: str) -> Path:
        """Where a content lies here, whether it does or not."""
        return self.root / str(workspace_id) / sha256[:2] / sha256

    def find(self, workspace_id: UUID, sha256: str, size_bytes: int | None = None) -> Path | None:
        """The content's file, if it is here (and has that size)."""
        path = self.path(workspace_id, sha256)
        if not path.is_file() or (size_bytes is not None and path.stat().st_size != size_bytes):
            return None
        return path

    def put(self, workspace_id: UUID, sha256: str, source: Path) -> None:
        """Move a finished file here, whole or not at all; it is read-only from then on.

        Args:
            source: on this place's disk; gone afterwards.

        Raises:
            OSError: the disk refused; nothing is half-written.
        """
        target = self.path(workspace_id, sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        source.chmod(0o444)
        _sync(source)
        fault("store_put.before_rename")
        source.replace(target)
        fault("store_put.after_rename")
        _sync(target.parent)

    def discard(self, workspace_id: UUID, sha256: str) -> None:
        """Remove a content's file; harmless when it is not here."""
        self.path(workspace_id, sha256).unlink(missing_ok=True)

    def contents(self, workspace_id: UUID) -> Iterator[str]:
        """The SHA-256 of every content of the workspace that is here, in no order."""
        for path in (self.root / str(workspace_id)).glob("[0-9a-f][0-9a-f]/*"):
            if _DIGEST.fullmatch(path.name):
                yield path.name

    def free(self) -> int:
        """Bytes that its disk has free."""
        self.root.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.root).free


def places() -> list[Place]:
    """All of them, the one for new content first."""
    found = [Place(LOCAL, Path(settings.STORE_DIR))]
    found += [Place(name, Path(root)) for name, root in settings.STORE_FOLDERS.items()]
    return sorted(found, key=lambda place: place.name != settings.STORE_NEW)


def place_for_new() -> Place:
    """Where new content goes."""
    return places()[0]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
