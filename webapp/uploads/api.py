"""The API of uploads: what became of a file."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Router, Schema

from webapp.uploads.models import Upload
from webapp.uploads.selectors import upload_list as uploads_of
from webapp.uploads.selectors import upload_status as status_of

router = Router(tags=["uploads"])


class ErrorOut(Schema):
    code: str
    message: str


class ResultOut(Schema):
    """The checkpoint or record set that the upload became, and its page."""

    id: UUID
    url: str


class TwinOut(Schema):
    """The checkpoint that had the same content before, as it is called here, and its page."""

    name: str
    url: str


class UploadOut(Schema):
    """`expires_at`: when it is given up if no more bytes come; `resumable`: whether more may come now."""

    id: UUID
    project_id: UUID
    project: str
    purpose: str
    filename: str
    size_bytes: int
    received_bytes: int
    state: str
    sha256: str
    created_at: datetime
    expires_at: datetime | None
    resumable: bool
    error: ErrorOut | None
    result: ResultOut | None
    duplicate_of: TwinOut | None


@router.get("/uploads", response=list[UploadOut], operation_id="upload_list", url_name="upload_list")
def upload_list(request: HttpRequest) -> list[dict[str, Any]]:
    """Your own uploads that are under way or ended within a day, newest first, at most 50."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    return uploads_of(request.user)


@router.get(
    "/uploads/{uuid:upload_id}", response=UploadOut, operation_id="upload_status", url_name="upload_status"
)
def upload_status(request: HttpRequest, upload_id: UUID) -> dict[str, Any]:
    """Where an upload stands: receiving, verifying, ready, refused or aborted."""
    upload = Upload.objects.select_related("project").get_visible(request.user, pk=upload_id)
    return status_of(upload)
