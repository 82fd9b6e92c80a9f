"""Uploads from the first question (is there room?) to the last byte."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from webapp.accounts.choices import Role
from webapp.accounts.models import Workspace
from webapp.accounts.selectors import require_role
from webapp.core import audit
from webapp.core.doorbell import ring_verify
from webapp.core.errors import Conflict, InvalidInput, cut
from webapp.core.store import ensure_room
from webapp.core.store_identity import StoreAway, store_check, store_ensure
from webapp.uploads.declared import clean_form
from webapp.uploads.models import Purpose, Upload, UploadState
from webapp.uploads.selectors import stray_files, uploads_abandoned, uploads_to_verify
from webapp.uploads.verification import remove_files, remove_stray, upload_verify

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project

logger = logging.getLogger(__name__)

__all__ = [
    "upload_abort",
    "upload_begin",
    "upload_create",
    "upload_finish",
    "upload_sweep",
    "upload_verify",
]


@transaction.atomic
def upload_create(
    *, actor: User, project: Project, purpose: str, filename: str, size_bytes: int, form: dict[str, Any]
) -> Upload:
    """Announce a file; from here on its size counts against the quota, so the room is there when it comes.

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


def upload_begin(*, actor: User, upload: Upload) -> None:
    """Before the first byte of the body: the role may have been taken away since the announcement.

    Raises:
        Conflict: `upload.state`: it is not waiting for bytes.
        StoreAway: the store is not mounted where the bytes arrive; the upload goes on waiting.
    """
    require_role(actor, upload.project.workspace, Role.EDITOR)
    if upload.state != UploadState.RECEIVING:
        raise Conflict(
            "upload.state",
            f"This upload is {upload.get_state_display().lower()} and takes no more bytes. Start a new one.",
        )
    store_ensure()


def upload_finish(*, upload: Upload, sha256: str) -> Upload:
    """All bytes are on disk and synced: hand over to the checker.

    Raises:
        Conflict: `upload.state`: it was cancelled meanwhile; its bytes are removed.
    """
    with transaction.atomic():
        changed = Upload.objects.filter(pk=upload.pk, state=UploadState.RECEIVING).update(
            state=UploadState.VERIFYING, sha256=sha256, received_bytes=upload.size_bytes
        )
        if changed:
            ring_verify(upload.pk)
    upload.refresh_from_db()
    if not changed:
        remove_files(upload)
        raise Conflict(
            "upload.state", "This upload was cancelled while it was being received. Start a new one."
        )
    return upload


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
        touched += upload_abort(
            upload=upload,
            code="upload.silent",
            message="No byte came for a quarter of an hour, so the upload was given up. Start it again.",
        )
    for path in stray_files():
        remove_stray(path)
        touched += 1
    for upload_id in uploads_to_verify():
        upload_verify(upload_id)
        touched += 1
    return touched
