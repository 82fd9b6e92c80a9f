"""A file of the server's own computer becomes an upload: copied in a thread, and told as it goes on."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction
from django.utils import timezone

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.core.errors import Conflict, NocturneError
from webapp.uploads.body import COMMIT_BYTES
from webapp.uploads.local_files import local_open
from webapp.uploads.models import Upload
from webapp.uploads.receiving import PartFile
from webapp.uploads.selectors import LOCAL_IDLE, part_path
from webapp.uploads.services import Gone, upload_abort, upload_create, upload_finish, upload_progress

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project
    from webapp.uploads.local_files import LocalFile

logger = logging.getLogger(__name__)
# More at once would only make the disk seek.
_copying: Final = threading.Semaphore(2)


def upload_local(*, actor: User, project: Project, purpose: str, path: str, form: dict[str, Any]) -> Upload:
    """Take a file in from an offered folder (`local_files`). Who may at all is checked by `check_local`.

    Returns:
        The upload, which begins to receive its bytes after the transaction.

    Raises:
        NotFound, Forbidden, InvalidInput, NoRoom: as `upload_create`; here an owner is needed.
        NocturneError: `local.special`.
    """
    require_role(actor, project.workspace, Role.OWNER)
    source = local_open(path)
    try:
        upload = upload_create(
            actor=actor,
            project=project,
            purpose=purpose,
            filename=source.name,
            size_bytes=source.size_bytes,
            form=form,
            local=True,
        )
    except BaseException:
        os.close(source.descriptor)
        raise
    thread = threading.Thread(target=_in_turn, args=(actor, upload, source), name="local-copy", daemon=True)
    transaction.on_commit(thread.start)
    return upload


def copy_in(actor: User, upload: Upload, source: LocalFile) -> None:
    """All of it, to the state `verifying`, or `aborted` with a sentence; closes the source."""
    part: PartFile | None = None
    try:
        part = PartFile(part_path(upload.pk), upload.size_bytes, 0)
        part.prepare()
        before = os.fstat(source.descriptor)
        while part.offset < upload.size_bytes:
            if not part.copy(source.descriptor, min(COMMIT_BYTES, upload.size_bytes - part.offset)):
                break
            if part.sync() < upload.size_bytes:
                upload_progress(actor=actor, upload=upload, received=part.offset)
        after = os.fstat(source.descriptor)
        if part.offset < upload.size_bytes or (before.st_size, before.st_mtime_ns) != (
            after.st_size,
            after.st_mtime_ns,
        ):
            raise Conflict(
                "local.changed",
                "The file was changed while it was being copied, so nothing was kept. Take it in again when "
                "nothing writes to it.",
            )
        upload_finish(upload=upload, sha256=part.sha256())
    except Gone:
        logger.info("The copy for upload %s is not wanted any more", upload.pk)
        _drop(part)
    except NocturneError as error:
        _drop(part)
        upload_abort(upload=upload, code=error.code, message=error.message)
    except OSError:
        logger.exception("Upload %s could not be copied", upload.pk)
        _drop(part)
        upload_abort(
            upload=upload,
            code="store.failed",
            message="The file could not be read or written to its end; nothing was kept. The log says why.",
        )
    finally:
        if part is not None:
            part.close()
        os.close(source.descriptor)


def _in_turn(actor: User, upload: Upload, source: LocalFile) -> None:
    try:
        while not _copying.acquire(timeout=LOCAL_IDLE.total_seconds() / 3):
            # Waiting is no reason to be taken for dead.
            Upload.objects.filter(pk=upload.pk).update(received_at=timezone.now())
        try:
            copy_in(actor, upload, source)
        finally:
            _copying.release()
    finally:
        connection.close()


def _drop(part: PartFile | None) -> None:
    if part is not None:
        part.discard()
