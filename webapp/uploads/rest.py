"""The good rows of a file that was refused for its bad ones: kept for a day, taken in on somebody's word."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.core import audit
from webapp.core.doorbell import ring_verify
from webapp.core.errors import Conflict
from webapp.uploads.models import Upload, UploadState
from webapp.uploads.verification import remove_files

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from webapp.accounts.models import User

LEAVE_OUT: Final = "leave_out"


@transaction.atomic
def upload_take_rest(*, actor: User, upload: Upload) -> None:
    """Check the file again, and leave its bad rows out this time.

    Raises:
        NotFound, Forbidden: the person may not (editor is needed).
        Conflict: `upload.rest`: its bytes are not there any more, or somebody did this already.
    """
    require_role(actor, upload.project.workspace, Role.EDITOR)
    form = {**upload.form, LEAVE_OUT: True}
    _changed(
        upload, state=UploadState.VERIFYING, form=form, verifying_since=None, finished_at=None, error_code="",
        error_message="", error_detail={},
    )  # fmt: skip
    _audit(upload, actor, "upload_take_rest", left_out=upload.error_detail.get("total"))
    ring_verify(upload.pk)


@transaction.atomic
def upload_drop_rest(*, actor: User, upload: Upload) -> None:
    """The bytes are not wanted any more.

    Raises:
        As `upload_take_rest`.
    """
    require_role(actor, upload.project.workspace, Role.EDITOR)
    _changed(upload)
    _audit(upload, actor, "upload_drop_rest")
    remove_files(upload)


def rest_sweep(now: dt.datetime | None = None) -> int:
    """Remove the bytes whose day is over; how many files that were."""
    over = Upload.objects.filter(kept_until__lte=now or timezone.now(), state=UploadState.REFUSED)
    touched = 0
    for upload in over:
        if _kept(upload).update(kept_until=None):
            remove_files(upload)
            touched += 1
    return touched


def _kept(upload: Upload) -> QuerySet[Upload]:
    """The row, if its bytes are still as this process knows them."""
    return Upload.objects.filter(
        pk=upload.pk, state=UploadState.REFUSED, kept_until=upload.kept_until, kept_until__isnull=False
    )


def _changed(upload: Upload, **fields: Any) -> None:
    if not _kept(upload).update(kept_until=None, **fields):
        raise Conflict(
            "upload.rest",
            _("The bytes of this file are not kept any more, or somebody chose already. Look at the list, "
              "else upload the file again."),
        )  # fmt: skip


def _audit(upload: Upload, actor: User, verb: str, **detail: Any) -> None:
    audit.record(
        workspace=upload.project.workspace, actor=actor, verb=verb, target=upload, filename=upload.filename,
        **detail,
    )  # fmt: skip
