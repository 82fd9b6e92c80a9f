"""What became of an upload, and which are left over."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.urls import reverse
from django.utils import timezone

from webapp.accounts.models import Membership
from webapp.checkpoints.models import Checkpoint
from webapp.core.store import PUBLISH_PREFIX
from webapp.uploads.models import Purpose, Upload, UploadState

if TYPE_CHECKING:
    from uuid import UUID

    from webapp.accounts.models import User

# Announced, and not one byte came: whoever did that is gone.
BEGIN_WITHIN: Final = dt.timedelta(hours=1)
# A copy on this computer tells how far it is every few seconds; its process must be dead.
LOCAL_IDLE: Final = dt.timedelta(minutes=5)
# What no row knows may be about to be made by a process that is slow.
STRAY_AGE: Final = dt.timedelta(minutes=15)
LISTED: Final = 50
# How many times as long a byte of these takes as one of numbers that lie as they are used: text is read
# slowly, and what is packed or quantised becomes several times as large when it is written out.
SLOW: Final = {
    ".gz": 12, ".tgz": 12, ".parquet": 8, ".npz": 8, ".gguf": 4, ".zip": 4, ".tar": 4, ".csv": 4, ".tsv": 4,
    ".jsonl": 4, ".ndjson": 4, ".json": 4,
}  # fmt: skip
# And what a tokenizer reads, text by text: about .2 MB a second of short ones.
TOKENIZED: Final = 10


def upload_expires(upload: Upload) -> dt.datetime | None:
    """When an upload that gets no more bytes is given up; None for one that waits for none."""
    if upload.state != UploadState.RECEIVING:
        return None
    if upload.local:
        return (upload.received_at or upload.created_at) + LOCAL_IDLE
    if upload.received_at is None:
        return upload.created_at + BEGIN_WITHIN
    return upload.received_at + dt.timedelta(seconds=settings.UPLOAD_IDLE_SECONDS)


def upload_expired(upload: Upload, now: dt.datetime | None = None) -> bool:
    """Whether it waited for bytes for too long."""
    expires = upload_expires(upload)
    return expires is not None and expires <= (now or timezone.now())


def upload_list(user: User, now: dt.datetime | None = None) -> list[dict[str, Any]]:
    """The person's own uploads that are under way or ended within a day, newest first. Three queries."""
    since = (now or timezone.now()) - dt.timedelta(days=1)
    under_way = Q(state__in=(UploadState.RECEIVING, UploadState.VERIFYING))
    mine = (
        Upload.objects.visible_to(user)
        .filter(under_way | Q(finished_at__gte=since), user=user)
        .select_related("project")
        .order_by("-created_at")[:LISTED]
    )
    found = list(mine)
    twins = duplicates_of(found)
    return [_told(upload, twins.get(upload.pk)) for upload in found]


def upload_status(upload: Upload) -> dict[str, Any]:
    """The upload as the page and the API see it."""
    return _told(upload, duplicates_of([upload]).get(upload.pk))


def _told(upload: Upload, duplicate_of: dict[str, str] | None) -> dict[str, Any]:
    error: dict[str, Any] | None = None
    if upload.error_code:
        error = {"code": upload.error_code, "message": upload.error_message}
    if error and upload.error_detail:
        error["detail"] = upload.error_detail
    rest = {"rows": upload.error_detail.get("others", 0), "until": upload.kept_until}
    return {
        "id": str(upload.pk),
        "project_id": str(upload.project_id),
        "project": upload.project.name,
        "purpose": upload.purpose,
        "filename": upload.filename,
        "size_bytes": upload.size_bytes,
        "received_bytes": upload.received_bytes,
        "state": upload.state,
        "sha256": upload.sha256,
        "created_at": upload.created_at,
        "expires_at": upload_expires(upload),
        "resumable": upload.state == UploadState.RECEIVING
        and not upload.local
        and not upload_expired(upload),
        "error": error,
        "rest": rest if upload.kept_until else None,
        "result": _result(upload),
        "duplicate_of": duplicate_of,
    }


def duplicates_of(uploads: Sequence[Upload]) -> dict[UUID, dict[str, str]]:
    """Which of them have the content of an older file of their workspace that is a checkpoint there: by
    upload, the oldest such checkpoint, {"name": "v3", "url"}; in another project, its name goes with it."""
    asked = [upload for upload in uploads if upload.sha256 and upload.purpose == Purpose.CHECKPOINT]
    if not asked:
        return {}
    older = Upload.objects.filter(
        project__workspace__projects__in={upload.project_id for upload in asked},
        purpose=Purpose.CHECKPOINT,
        state=UploadState.READY,
        sha256__in={upload.sha256 for upload in asked},
        result_id__isnull=False,
    ).order_by("finished_at")
    rows = list(older.values_list("sha256", "project__workspace", "pk", "result_id").distinct())
    made = Checkpoint.objects.select_related("project").in_bulk([result for *_, result in rows])
    found = {}
    for upload in asked:
        for sha256, workspace_id, pk, result in rows:
            if (sha256, workspace_id) != (upload.sha256, upload.project.workspace_id) or result not in made:
                continue
            if pk != upload.pk:
                twin = made[result]
                name = str(twin) if twin.project_id == upload.project_id else f"{twin} · {twin.project.name}"
                found[upload.pk] = {"name": name, "url": reverse("checkpoint_detail", args=[result])}
            break
    return found


def _result(upload: Upload) -> dict[str, str] | None:
    if upload.result_id is None:
        return None
    if upload.purpose in {Purpose.CHECKPOINT, Purpose.TOKENIZER}:
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
    limit = ((now or timezone.now()) - STRAY_AGE).timestamp()
    folder = Path(settings.INCOMING_DIR)
    found = folder.glob("*") if folder.is_dir() else ()
    incoming = [path for path in found if not path.name.startswith(PUBLISH_PREFIX)]
    old = []
    for path in incoming:
        with suppress(FileNotFoundError):  # a check ended meanwhile, and its files are gone
            if path.stat().st_mtime < limit:
                old.append(path)
    if not old:
        return []
    under_way = Upload.objects.filter(
        Q(state__in=(UploadState.RECEIVING, UploadState.VERIFYING)) | Q(kept_until__isnull=False)
    )
    names = {str(pk) for pk in under_way.values_list("pk", flat=True)}
    return [path for path in old if path.stem not in names]


def verify_seconds(size_bytes: int) -> int:
    """The longest that checking a file may take (wall clock): a minute, and a second for each 4 MB."""
    return 60 + size_bytes // 4_000_000


def work_bytes(upload: Upload) -> int:
    """The size by which the time for checking is measured, see SLOW."""
    name = upload.filename.lower()
    times = next((times for end, times in SLOW.items() if name.endswith(end)), 1)
    if (upload.form.get("texts") or {}).get("tokens"):
        times = TOKENIZED * max(times, SLOW[".jsonl"])
    return upload.size_bytes * times


def uploads_to_verify(now: dt.datetime | None = None) -> list[UUID]:
    """Uploads that wait for a check, or whose checker must be dead by now."""
    now = now or timezone.now()
    waiting = Upload.objects.filter(state=UploadState.VERIFYING).order_by("created_at")
    return [
        upload.pk
        for upload in waiting.only("id", "filename", "size_bytes", "verifying_since", "form")
        if upload.verifying_since is None or verify_lease_over(upload, now)
    ]


def verify_lease_over(upload: Upload, now: dt.datetime) -> bool:
    """Whether a claimed check has outlived its own time limit by half a minute."""
    if upload.verifying_since is None:
        return True
    return now - upload.verifying_since > dt.timedelta(seconds=verify_seconds(work_bytes(upload)) + 30)


def uploads_abandoned(now: dt.datetime | None = None) -> list[Upload]:
    """Uploads whose bytes stopped coming long ago."""
    now = now or timezone.now()
    waiting = Upload.objects.filter(state=UploadState.RECEIVING, created_at__lt=now - LOCAL_IDLE)
    return [upload for upload in waiting if upload_expired(upload, now)]


def uploads_left() -> list[Upload]:
    """Uploads that wait for bytes from somebody who is no member of their workspace any more."""
    member = Membership.objects.filter(workspace=OuterRef("project__workspace"), user=OuterRef("user"))
    return list(Upload.objects.filter(~Exists(member), state=UploadState.RECEIVING))
