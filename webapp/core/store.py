"""The content-addressed store: one read-only file a content of a workspace, never overwritten.

A file is complete and synced before its row exists. What a rolled-back transaction leaves behind is removed
by `store_discard`, which takes the same lock as `store_put`, so a file that somebody else just stored stays.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, Sum

from webapp.core.errors import NocturneError
from webapp.core.places import place_for_new, places
from webapp.core.references import trash_frees
from webapp.core.store_identity import store_ensure
from webapp.cycles.choices import UNFINISHED, State
from webapp.cycles.models import Cycle
from webapp.uploads.models import StoredFile, Upload, UploadState

if TYPE_CHECKING:
    from uuid import UUID

    from webapp.accounts.models import Workspace

# Left free for the database, snapshots and logs on the same disk.
RESERVE_BYTES: Final = 64 * 2**20
CHUNK: Final = 4 * 2**20
# How the names of files begin that are about to be published, among the incoming.
PUBLISH_PREFIX: Final = "publish-"


class NoRoom(NocturneError):
    """The quota (413) or the disk (507) has no room."""

    status = 413


def store_path(workspace_id: UUID, sha256: str) -> Path:
    """Where a workspace's content lies; where it would be put, if it is in no place of the store."""
    known = places()
    for place in known:
        if (found := place.find(workspace_id, sha256)) is not None:
            return found
    return known[0].path(workspace_id, sha256)


def file_sha256(path: Path) -> tuple[str, int]:
    """Digest (hex) and size of a file, read in flat memory; a symbolic link is refused (OSError)."""
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as handle:
        while piece := handle.read(CHUNK):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def store_put(*, workspace: Workspace, source: Path, sha256: str, size_bytes: int) -> StoredFile:
    """Move a finished file into the store; content that is there already is not stored twice.

    Args:
        source: on the disk of the place for new content (INCOMING_DIR); gone afterwards.
        sha256: the true digest of the file, hex.
        size_bytes: its true size.

    Raises:
        OSError: the disk refused; nothing is half-written.
        StoreAway: the store is not here (503).
    """
    store_ensure()
    with transaction.atomic():
        store_lock(workspace.pk, sha256)
        if any(place.find(workspace.pk, sha256, size_bytes) for place in places()):
            source.unlink()
        else:
            place_for_new().put(workspace.pk, sha256, source)
        stored, _ = StoredFile.objects.get_or_create(
            workspace=workspace, sha256=sha256, defaults={"size_bytes": size_bytes}
        )
    return stored


def store_discard(*, workspace: Workspace, sha256: str) -> None:
    """Remove a content's file unless a row claims it: the clean-up after a rolled-back transaction."""
    with transaction.atomic():
        store_lock(workspace.pk, sha256)
        if not StoredFile.objects.filter(workspace=workspace, sha256=sha256).exists():
            for place in places():
                place.discard(workspace.pk, sha256)


def workspace_used_bytes(workspace: Workspace) -> int:
    """What the workspace has stored, in bytes; a content counts once."""
    total = StoredFile.objects.filter(workspace=workspace).aggregate(total=Sum("size_bytes"))["total"]
    return int(total or 0)


def room_left(workspace: Workspace, *, besides: UUID | None = None) -> int:
    """Bytes that the quota leaves when every upload under way (but `besides`) is counted as stored, and so is
    what every cycle that waits or runs may publish."""
    promised = promised_to_uploads(workspace, besides=besides) + promised_to_cycles(workspace)
    return workspace.quota_bytes - workspace_used_bytes(workspace) - promised


def promised_to_uploads(workspace: Workspace, *, besides: UUID | None = None) -> int:
    """What uploads under way (but `besides`) will take, in bytes."""
    under_way = Q(state__in=(UploadState.RECEIVING, UploadState.VERIFYING))
    # The kept ones may still become a set, and lie on the disk until then.
    coming = Upload.objects.filter(under_way | Q(kept_until__isnull=False), project__workspace=workspace)
    if besides is not None:
        coming = coming.exclude(pk=besides)
    return int(coming.aggregate(total=Sum("size_bytes"))["total"] or 0)


def promised_to_cycles(workspace: Workspace | None = None) -> int:
    """What cycles may still publish, in bytes; None: those of all workspaces. Nothing is promised to one that
    is blocked or paused: the tick looks again when it goes on."""
    coming = Cycle.objects.filter(state__in=UNFINISHED - {State.BLOCKED, State.PAUSED}, store_bytes__gt=0)
    if workspace is not None:
        coming = coming.filter(project__workspace=workspace)
    return int(coming.aggregate(total=Sum("store_bytes"))["total"] or 0)


def ensure_room(
    workspace: Workspace, size_bytes: int, *, besides: UUID | None = None, written: bool = False
) -> None:
    """Call under the workspace's row lock, or two uploads may both take the last place.

    Args:
        besides: an upload that is not counted, because these bytes are its own.
        written: the bytes lie on the store's disk already, so only the quota is asked.

    Raises:
        NoRoom: `upload.quota` (413) or `store.disk_full` (507), each with its numbers.
        StoreAway: the store is not here (503).
    """
    store_ensure()
    left = room_left(workspace, besides=besides)
    if size_bytes > left:
        frees = trash_frees(workspace.pk)
        way_out = f"Empty the trash (frees {in_words(frees)}) or ask" if frees else "Ask"
        raise NoRoom(
            "upload.quota",
            f"This file is {in_words(size_bytes)}; the workspace has {in_words(max(left, 0))} left. "
            f"{way_out} an owner for more.",
            size=size_bytes,
            left=max(left, 0),
            frees=frees,
        )
    if written:
        return
    free = disk_free()
    # Checking a file writes our own copy beside it, so the disk must hold it twice for a while.
    if 2 * size_bytes > free:
        raise disk_full(size_bytes, free)


def disk_free() -> int:
    """Bytes that the store's disk has free, less the reserve and less what uploads under way still need."""
    # A body's space is allocated when its first byte comes; until then it is only promised.
    coming = Upload.objects.filter(state=UploadState.RECEIVING).values_list("pk", "size_bytes")
    incoming = Path(settings.INCOMING_DIR)
    promised = sum(size for pk, size in coming if not (incoming / f"{pk}.part").exists())
    return place_for_new().free() - RESERVE_BYTES - promised


def disk_full(size_bytes: int, free: int | None = None) -> NoRoom:
    """The sentence for a full disk."""
    has = f"has {in_words(max(free, 0))} free for it" if free is not None else "is full"
    return NoRoom(
        "store.disk_full",
        f"This file is {in_words(size_bytes)} and needs twice that while it is checked; the server's disk "
        f"{has}. "
        "Nothing was kept. Free some space on the server, then upload it again.",
        status=507,
        size=size_bytes,
    )


def in_words(size: int) -> str:
    """A size in decimal units: "14.2 GB"."""
    value = float(size)
    for unit in ("bytes", "KB", "MB", "GB"):
        if value < 1000:
            return f"{size} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def store_lock(workspace_id: UUID, sha256: str, *, wait: bool = True) -> bool:
    """One transaction at a time a content: held until commit or rollback.

    Returns:
        False only without `wait`: somebody else has it.
    """
    key = hashlib.sha256(f"{workspace_id}/{sha256}".encode()).digest()[:8]
    call = "pg_advisory_xact_lock" if wait else "pg_try_advisory_xact_lock"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {call}(%s)", [int.from_bytes(key, "big", signed=True)])
        return wait or bool(cursor.fetchone()[0])
