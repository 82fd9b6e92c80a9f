"""Uploads from the first question (is there room?) to the last byte."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, NoReturn

from django.db import transaction
from django.utils import timezone

from webapp.accounts.choices import Role
from webapp.accounts.models import Workspace
from webapp.accounts.selectors import require_role
from webapp.core import audit
from webapp.core.doorbell import ring_verify
from webapp.core.errors import Conflict, InvalidInput, NocturneError, cut
from webapp.core.store import ensure_room
from webapp.core.store_identity import StoreAway, store_check, store_ensure
from webapp.uploads.declared import clean_form
from webapp.uploads.models import Purpose, Upload, UploadState
from webapp.uploads.rest import rest_sweep
from webapp.uploads.selectors import (
    stray_files,
    upload_expired,
    uploads_abandoned,
    uploads_left,
    uploads_to_verify,
)
from webapp.uploads.verification import remove_files, remove_stray, upload_verify

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from webapp.accounts.models import User
    from webapp.projects.models import Project

logger = logging.getLogger(__name__)
_LEFT: Final = "Whoever sent this file left the workspace before all of it was here, so nothing was kept."

__all__ = [
    "upload_abort",
    "upload_begin",
    "upload_cancel",
    "upload_create",
    "upload_expire",
    "upload_finish",
    "upload_progress",
    "upload_sweep",
    "upload_verify",
    "upload_waits",
]


class Gone(NocturneError):
    """It was given up, and nothing of it is there any more (410)."""

    status = 410


@transaction.atomic
def upload_create(
    *,
    actor: User,
    project: Project,
    purpose: str,
    filename: str,
    size_bytes: int,
    form: dict[str, Any],
    told_sha256: str = "",
    local: bool = False,
) -> Upload:
    """Announce a file; from here on its size counts against the quota, so the room is there when it comes.

    Args:
        told_sha256: what the finished file must have, hex; "": nothing was said.
        local: the bytes come from a folder of the server's own computer.

    Raises:
        NotFound, Forbidden: the person may not (editor is needed).
        InvalidInput: the announcement makes no sense.
        NoRoom: `upload.quota` or `store.disk_full`, before the first byte.
    """
    require_role(actor, project.workspace, Role.EDITOR)
    if purpose not in Purpose.values:
        raise InvalidInput("upload.purpose", f"“{cut(purpose)}” is none of {', '.join(Purpose.values)}.")
    if size_bytes < 1:
        raise InvalidInput(
            "file.empty", "The file is empty (0 bytes). Save it again and choose the new file."
        )
    name = cut(filename.replace("\\", "/").rsplit("/", 1)[-1].strip() or "file", 255)
    # The lock makes parallel announcements take turns at the quota.
    workspace = Workspace.objects.select_for_update(no_key=True).get(pk=project.workspace_id)
    ensure_room(workspace, size_bytes)
    upload = Upload.objects.create(
        project=project,
        user=actor,
        purpose=purpose,
        filename=name,
        size_bytes=size_bytes,
        form=clean_form(project=project, purpose=purpose, form=form),
        told_sha256=told_sha256,
        local=local,
    )
    audit.record(
        workspace=workspace,
        actor=actor,
        verb="upload_create",
        target=upload,
        filename=name,
        size_bytes=size_bytes,
        purpose=purpose,
    )
    return upload


def upload_begin(*, actor: User, upload: Upload, offset: int) -> Upload:
    """Before the first byte of a body, under the claim on its part file: much may have happened since the
    announcement.

    Returns:
        The upload as it is now.

    Raises:
        Forbidden, NotFound: the role was taken away.
        Gone: `upload.expired`, `upload.cancelled`.
        Conflict: `upload.state`: it is not waiting for bytes; `upload.offset`: not for these.
        StoreAway: the store is not mounted where the bytes arrive; the upload goes on waiting.
    """
    require_role(actor, upload.project.workspace, Role.EDITOR)
    now = Upload.objects.select_related("project__workspace").get(pk=upload.pk)
    upload_waits(upload=now)
    if now.state != UploadState.RECEIVING:
        raise Conflict(
            "upload.state",
            f"This upload is {now.get_state_display().lower()} and takes no more bytes. Start a new one.",
        )
    if now.local:
        raise Conflict("upload.state", "This file is being copied by the server and takes no bytes.")
    if now.received_bytes != offset:
        raise Conflict(
            "upload.offset",
            f"The server has {now.received_bytes:,} bytes of this file, and these begin at {offset:,}. Ask "
            "where it stands and go on from there.",
            offset=now.received_bytes,
        )
    store_ensure()
    return now


def upload_waits(*, upload: Upload) -> None:
    """Raises Gone (`upload.expired`, `upload.cancelled`) for an upload that was given up or has to be."""
    if upload_expired(upload) and upload_expire(upload=upload):
        upload.refresh_from_db()
    if upload.state == UploadState.ABORTED:
        raise Gone(
            upload.error_code or "upload.cancelled",
            upload.error_message or "This upload was cancelled. Start a new one.",
        )


def upload_progress(*, actor: User, upload: Upload, received: int) -> None:
    """So many bytes are on disk and synced. Compare-and-set on what the upload had before.

    Raises:
        Forbidden, NotFound: the role was taken away while the bytes came.
        Gone: it was given up meanwhile; Conflict: `upload.offset`: somebody else moved it.
    """
    require_role(actor, upload.project.workspace, Role.EDITOR)
    if received == upload.received_bytes:
        return
    moved = _waiting(upload).update(received_bytes=received, received_at=timezone.now())
    if not moved:
        _moved_away(upload)
    upload.received_bytes = received


def upload_finish(*, upload: Upload, sha256: str) -> Upload:
    """All bytes are on disk and synced: hand over to the checker. Compare-and-set, as `upload_progress`.

    Raises:
        InvalidInput: `upload.checksum`: it is not what the sender said; its bytes are removed.
        Gone: it was given up meanwhile; Conflict: `upload.offset`: somebody else moved it.
    """
    if upload.told_sha256 not in {"", sha256}:
        return _refuse_checksum(upload, sha256)
    now = timezone.now()
    with transaction.atomic():
        moved = _waiting(upload).update(
            state=UploadState.VERIFYING, sha256=sha256, received_bytes=upload.size_bytes, received_at=now
        )
        if moved:
            ring_verify(upload.pk)
    if not moved:
        _moved_away(upload)
    upload.refresh_from_db()
    return upload


def _waiting(upload: Upload) -> QuerySet[Upload]:
    """The row, if it is still where this process left it."""
    return Upload.objects.filter(
        pk=upload.pk, state=UploadState.RECEIVING, received_bytes=upload.received_bytes
    )


def _moved_away(upload: Upload) -> NoReturn:
    upload_waits(upload=Upload.objects.get(pk=upload.pk))
    raise Conflict(
        "upload.offset", "Another request went on with this file. Ask where it stands and go on from there."
    )


def _refuse_checksum(upload: Upload, sha256: str) -> NoReturn:
    error = InvalidInput(
        "upload.checksum",
        "The file that arrived is not the one that was sent: their SHA-256 differ. It was changed on its "
        "way, or on your disk while it was being sent. Nothing was kept; upload it again.",
    )
    refused = _waiting(upload).update(
        state=UploadState.REFUSED,
        sha256=sha256,
        received_bytes=upload.size_bytes,
        error_code=error.code,
        error_message=error.message,
        finished_at=timezone.now(),
    )
    if not refused:
        _moved_away(upload)
    remove_files(upload)
    raise error


def upload_cancel(*, upload: Upload) -> None:
    """The person does not want it any more. Harmless a second time.

    Raises:
        Conflict: `upload.state`: its bytes are all there, and it is being checked or was.
    """
    if not upload_abort(upload=upload):
        upload.refresh_from_db()
        if upload.state != UploadState.ABORTED:
            raise Conflict(
                "upload.state",
                f"This upload is {upload.get_state_display().lower()}: all of it has arrived, so there is "
                "nothing to cancel.",
            )


def upload_expire(*, upload: Upload) -> bool:
    """No byte came for too long: free its room. False if one did come meanwhile."""
    if upload.local:
        code, why = "upload.local_ended", "The server was stopped while it copied the file"
    else:
        code, why = "upload.expired", "No byte came for too long"
    changed = _waiting(upload).update(
        state=UploadState.ABORTED,
        error_code=code,
        error_message=f"{why}, so the upload was given up and nothing was kept. Start it again.",
        finished_at=timezone.now(),
    )
    if changed:
        remove_files(upload)
    return bool(changed)


def upload_abort(*, upload: Upload, code: str = "", message: str = "") -> bool:
    """The bytes will not come (any more): remove what did. False if it was no longer waiting for bytes.

    Args:
        code: why, when it was not the person's own wish.
        message: the sentence to it.
    """
    changed = Upload.objects.filter(pk=upload.pk, state=UploadState.RECEIVING).update(
        state=UploadState.ABORTED, error_code=code, error_message=message, finished_at=timezone.now()
    )
    if changed:
        remove_files(upload)
    return bool(changed)


def upload_sweep() -> int:
    """What the clock does: give up on uploads that went silent, and check those that nobody checked.

    Returns:
        How many uploads and left-over files were touched.
    """
    try:
        store_check()
    except StoreAway as error:
        # From here every upload looks as if its bytes were lost.
        logger.warning("%s [%s]", error.message, error.code)
        return 0
    touched = 0
    for upload in uploads_abandoned():
        touched += upload_expire(upload=upload)
    for upload in uploads_left():
        touched += upload_abort(upload=upload, code="upload.left", message=_LEFT)
    touched += rest_sweep()
    for path in stray_files():
        remove_stray(path)
        touched += 1
    for upload_id in uploads_to_verify():
        upload_verify(upload_id)
        touched += 1
    return touched
