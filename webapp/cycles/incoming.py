"""A result's files on their way into the store: on its disk before any row is locked, then renamed."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from django.conf import settings
from django.db import DatabaseError

from webapp.core.store import PUBLISH_PREFIX, store_discard, store_put
from webapp.core.store_identity import store_ensure
from webapp.uploads.models import StoredFile

if TYPE_CHECKING:
    from types import TracebackType

    from webapp.accounts.models import Workspace
    from webapp.cycles.publish import Found


class Incoming:
    """Copies of what a cycle found. Leaving the block by an error takes back what reached the store.

    The originals stay where they are, in case this is tried again.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._copies: dict[Path, Path] = {}
        self._found: list[Found] = []
        self._stored: list[str] = []

    def __enter__(self) -> Incoming:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for copy in self._copies.values():
            copy.unlink(missing_ok=True)
        if kind is None:
            return
        with suppress(DatabaseError):
            for sha256 in self._stored:
                store_discard(workspace=self.workspace, sha256=sha256)

    def stage(self, *found: Found | None) -> None:
        """Bring the files to the store's disk: a second name where it is the same disk, else a copy.

        Raises:
            OSError: the store's disk refused.
            StoreAway: the store is not mounted here.
        """
        for one in found:
            if one is not None:
                self._found.append(one)
                self._copies[one.path] = _brought(one.path)

    def new_bytes(self) -> int:
        """What the workspace would hold more; a content that it holds already, or twice here, counts once."""
        sizes = {one.info["sha256"]: int(one.info["size"]) for one in self._found}
        known = StoredFile.objects.filter(workspace=self.workspace, sha256__in=sizes)
        for sha256 in known.values_list("sha256", flat=True):
            del sizes[sha256]
        return sum(sizes.values())

    def keep(self, found: Found) -> None:
        """Move a staged file into the store, in the caller's transaction.

        Raises:
            OSError: the store's disk refused.
        """
        sha256 = found.info["sha256"]
        store_put(
            workspace=self.workspace,
            source=self._copies[found.path],
            sha256=sha256,
            size_bytes=found.info["size"],
        )
        self._stored.append(sha256)


def _brought(path: Path) -> Path:
    store_ensure()
    folder = Path(settings.INCOMING_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f"{PUBLISH_PREFIX}{uuid4()}"
    try:
        try:
            os.link(path, copy)
        except OSError:
            shutil.copyfile(path, copy)
            # Now, and not while rows are locked.
            with copy.open("rb") as handle:
                os.fsync(handle.fileno())
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    return copy
