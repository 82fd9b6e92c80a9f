"""The API of uploads: what became of a file."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Router, Schema

from webapp.uploads.models import Upload
from webapp.uploads.selectors import upload_status as status_of

router = Router(tags=["uploads"])


class ErrorOut(Schema):
    """`detail`, where a file of records has bad lines: {"lines": [{"line", "code", "message"}], "total"}."""

    code: str
    message: str
    detail: dict[str, Any] | None = None


class ResultOut(Schema):
    """The checkpoint or record set that the upload became, and its page."""

    id: UUID
    url: str


class UploadOut(Schema):
    id: UUID
    purpose: str
    filename: str
    size_bytes: int
    received_bytes: int
    state: str
    sha256: str
    error: ErrorOut | None
    result: ResultOut | None


@router.get(
    "/uploads/{uuid:upload_id}", response=UploadOut, operation_id="upload_status", url_name="upload_status"
)
def upload_status(request: HttpRequest, upload_id: UUID) -> dict[str, Any]:
    """Where an upload stands: receiving, verifying, ready, refused or aborted."""
    upload = Upload.objects.get_visible(request.user, pk=upload_id)
    return status_of(upload)
