"""What became of an upload, and which are left over."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from webapp.core.store import PUBLISH_PREFIX
from webapp.uploads.models import Purpose, Upload, UploadState

if TYPE_CHECKING:
    from uuid import UUID

# No byte for this long: whoever sent it is gone.
RECEIVING_IDLE: Final = dt.timedelta(minutes=15)
# How many times as long a byte of these takes as one of numbers that lie as they are used.
SLOW: Final = {".gz": 12, ".parquet": 8, ".csv": 4, ".tsv": 4, ".jsonl": 4, ".ndjson": 4, ".json": 4}


def upload_status(upload: Upload) -> dict[str, Any]:
    """The upload as the page and the API see it."""
    error: dict[str, Any] | None = None
    if upload.error_code:
        error = {"code": upload.error_code, "message": upload.error_message}
    if error and upload.error_detail:
        error["detail"] = upload.error_detail
    return {
        "id": str(upload.pk),
        "purpose": upload.purpose,
        "filename": upload.filename,
        "size_bytes": upload.size_bytes,
        "received_bytes": upload.received_bytes,
        "state": upload.state,
        "sha256": upload.sha256,
        "error": error,
        "result": _result(upload),
    }


def _result(upload: Upload) -> dict[str, str] | None:
    if upload.result_id is None:
        return None
    if upload.purpose == Purpose.CHECKPOINT:
        url = reverse("checkpoint_detail", args=[upload.result_id])
    else:
        url = reverse("records_list", args=[upload.project_id])
    return {"id": str(upload.result_id), "url": url}


def part_path(upload_id: UUID | str) -> Path:
    """Where an upload's bytes are received."""
    return Path(settings.INCOMING_DIR) / f"{upload_id}.part"


def scratch_path(upload_id: UUID | str) -> Path:
    """The folder in which an upload is checked; the child may write nowhere else."""
    return Path(settings.INCOMING_DIR) / f"{upload_id}.scratch"


def stray_files(now: dt.datetime | None = None) -> list[Path]:
    """What crashes left among the incoming: files of uploads that are over, untouched for a while.

    What is being published is no upload: `store_collect` sees to it.
    """
    limit = ((now or timezone.now()) - RECEIVING_IDLE).timestamp()
    folder = Path(settings.INCOMING_DIR)
    found = folder.glob("*") if folder.is_dir() else ()
    incoming = [path for path in found if not path.name.startswith(PUBLISH_PREFIX)]
    old = [path for path in incoming if path.stat().st_mtime < limit]
    if not old:
        return []
    under_way = Upload.objects.filter(state__in=(UploadState.RECEIVING, UploadState.VERIFYING))
    names = {str(pk) for pk in under_way.values_list("pk", flat=True)}
    return [path for path in old if path.stem not in names]


def verify_seconds(size_bytes: int) -> int:
    """The longest that checking a file may take (wall clock): a minute, and a second for each 4 MB."""
    return 60 + size_bytes // 4_000_000


def work_bytes(upload: Upload) -> int:
    """The size by which the time for checking is measured: text takes longer, packed text longer still."""
    name = upload.filename.lower()
    return upload.size_bytes * next((times for end, times in SLOW.items() if name.endswith(end)), 1)


def uploads_to_verify(now: dt.datetime | None = None) -> list[UUID]:
    """Uploads that wait for a check, or whose checker must be dead by now."""
    now = now or timezone.now()
    waiting = Upload.objects.filter(state=UploadState.VERIFYING).order_by("created_at")
    return [
        upload.pk
        for upload in waiting.only("id", "filename", "size_bytes", "verifying_since")
        if upload.verifying_since is None or verify_lease_over(upload, now)
    ]


def verify_lease_over(upload: Upload, now: dt.datetime) -> bool:
    """Whether a claimed check has outlived its own time limit by half a minute."""
    if upload.verifying_since is None:
        return True
    return now - upload.verifying_since > dt.timedelta(seconds=verify_seconds(work_bytes(upload)) + 30)


def uploads_abandoned(now: dt.datetime | None = None) -> list[Upload]:
    """Uploads whose bytes stopped coming long ago. The part file's own clock says when the last byte came."""
    limit = (now or timezone.now()) - RECEIVING_IDLE
    old = Upload.objects.filter(Q(state=UploadState.RECEIVING) & Q(created_at__lt=limit))
    abandoned = []
    for upload in old:
        part = part_path(upload.pk)
        if not part.exists() or part.stat().st_mtime < limit.timestamp():
            abandoned.append(upload)
    return abandoned
