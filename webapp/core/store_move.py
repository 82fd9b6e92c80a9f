"""Moves contents from one place of the store to another, one at a time, each checked by its SHA-256.

The copy is complete, synced and compared before the original goes, and readers find it in either place all
the while. The original stays while a cycle that has not ended uses it: its trainer may have the file's name
already. Asked again later, the move is completed.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from django.db import transaction
from django.db.models import Q

from webapp.core.errors import NocturneError
from webapp.core.places import places
from webapp.core.store import CHUNK, PUBLISH_PREFIX, RESERVE_BYTES, file_sha256, in_words, store_lock
from webapp.core.store_identity import store_ensure
from webapp.cycles.choices import UNFINISHED
from webapp.cycles.models import Cycle
from webapp.uploads.models import StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from uuid import UUID

    from webapp.core.places import Place


@dataclass
class Moved:
    """How many contents: moved; there already; copied whose original stays for a running cycle; missing."""

    moved: int = 0
    there: int = 0
    kept: int = 0
    missing: int = 0


def store_move(*, to: Place, stored: Iterable[StoredFile]) -> Moved:
    """Bring contents to one place of the store.

    Raises:
        NocturneError: `store.damaged`: a file is not what its name says; `store.disk_full`: no room there.
            What was moved before that is moved.
        OSError: a disk refused. StoreAway: a place is not mounted here.
    """
    store_ensure()
    done = Moved()
    for one in stored:
        outcome = _move(one, to)
        setattr(done, outcome, getattr(done, outcome) + 1)
    return done


def left_elsewhere(to: Place, workspaces: Iterable[UUID]) -> int:
    """How many files of these workspaces lie in other places of the store."""
    others = [place for place in places() if place != to]
    return sum(1 for pk in workspaces for place in others for _ in place.contents(pk))


def _move(stored: StoredFile, to: Place) -> str:
    """The outcome, as the field of Moved."""
    workspace, sha256, size = stored.workspace_id, stored.sha256, stored.size_bytes
    elsewhere = [place for place in places() if place != to and place.find(workspace, sha256)]
    here = to.find(workspace, sha256, size)
    if not elsewhere:
        return "there" if here else "missing"
    copy = None if here else _copied(elsewhere[0].path(workspace, sha256), to, sha256, size)
    if here is not None and file_sha256(here)[0] != sha256:
        raise _damaged(sha256)
    try:
        with transaction.atomic():
            store_lock(workspace, sha256)
            if not StoredFile.objects.filter(pk=stored.pk).exists():
                return "missing"  # somebody let go of it meanwhile
            if copy is not None:
                to.put(workspace, sha256, copy)
            if _in_use(workspace, sha256):
                return "kept"
            for place in elsewhere:
                place.discard(workspace, sha256)
    finally:
        if copy is not None:
            copy.unlink(missing_ok=True)
    return "moved"


def _copied(source: Path, to: Place, sha256: str, size: int) -> Path:
    """A synced copy on the other place's disk, digested on the way."""
    free = to.free() - RESERVE_BYTES
    if size > free:
        raise NocturneError(
            "store.disk_full",
            f"The next file is {in_words(size)}, and the place “{to.name}” has {in_words(max(free, 0))} "
            "free. What was moved so far is moved. Free some space there, then go on.",
            status=507,
        )
    to.incoming.mkdir(parents=True, exist_ok=True)
    # A leftover with this name is collected like one of a night that died while publishing.
    copy, digest = to.incoming / f"{PUBLISH_PREFIX}{uuid4()}", hashlib.sha256()
    try:
        with source.open("rb") as reader, copy.open("xb") as writer:
            while piece := reader.read(CHUNK):
                digest.update(piece)
                writer.write(piece)
            writer.flush()
            os.fsync(writer.fileno())
        if digest.hexdigest() != sha256:
            raise _damaged(sha256)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    return copy


def _in_use(workspace_id: UUID, sha256: str) -> bool:
    """Whether a cycle that has not ended works with the content."""
    named = Q()
    for path in ("base__sha256", "reference__sha256", "reference__fisher_sha256", "data__sha256"):
        named |= Q(**{path: sha256})
    linked = Q(memories__sha256=sha256) | Q(probes__sha256=sha256)
    cycles = Cycle.objects.filter(project__workspace=workspace_id, state__in=UNFINISHED)
    return cycles.filter(named | linked).exists()


def _damaged(sha256: str) -> NocturneError:
    return NocturneError(
        "store.damaged",
        f"The file of {sha256[:12]} in the store is not what its name says: the disk or a person changed it. "
        "It was left where it is. Restore it from a backup, then go on.",
        status=500,
    )
