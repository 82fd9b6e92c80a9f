"""The API of uploads: what became of a file."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Field, Router, Schema

from webapp.projects.models import Project
from webapp.uploads import rest
from webapp.uploads.local_copy import upload_local as copy_of
from webapp.uploads.local_files import check_local
from webapp.uploads.local_files import local_listing as listing_of
from webapp.uploads.models import Upload
from webapp.uploads.selectors import upload_list as uploads_of
from webapp.uploads.selectors import upload_status as status_of

router = Router(tags=["uploads"])


class ErrorOut(Schema):
    """`detail`, where a file of records has bad lines: {"lines": [{"line", "code", "message"}],
    "total", "unit", "others"}."""

    code: str
    message: str
    detail: dict[str, Any] | None = None


class ResultOut(Schema):
    """The checkpoint or record set that the upload became, and its page."""

    id: UUID
    url: str


class TwinOut(Schema):
    """The checkpoint that had the same content before, as it is called here, and its page."""

    name: str
    url: str


class RestOut(Schema):
    """The good rows of a file that was refused for its bad ones; until when they may be taken in."""

    rows: int
    until: datetime


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
    rest: RestOut | None
    result: ResultOut | None
    duplicate_of: TwinOut | None


class LocalFolderOut(Schema):
    name: str
    path: str


class LocalFileOut(LocalFolderOut):
    size_bytes: int


class LocalOut(Schema):
    """A folder of the server's own computer; `path` is what to ask for, or to take in. `more`: not all of it
    is listed."""

    path: str
    folders: list[LocalFolderOut]
    files: list[LocalFileOut]
    more: bool


class LocalIn(Schema):
    project: UUID
    purpose: str
    path: str
    form: dict[str, Any] = Field(default_factory=dict)


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


@router.post("/uploads/{uuid:upload_id}/rest", response=UploadOut, operation_id="upload_take_rest")
def upload_take_rest(request: HttpRequest, upload_id: UUID) -> dict[str, Any]:
    """Take in the good rows of a file that was refused for its bad ones. 409 when they are gone."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    upload = _upload(request, upload_id)
    rest.upload_take_rest(actor=request.user, upload=upload)
    return status_of(_upload(request, upload_id))


@router.delete("/uploads/{uuid:upload_id}/rest", response=UploadOut, operation_id="upload_drop_rest")
def upload_drop_rest(request: HttpRequest, upload_id: UUID) -> dict[str, Any]:
    """Remove the bytes of such a file now, which frees their room; after a day they go by themselves."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    upload = _upload(request, upload_id)
    rest.upload_drop_rest(actor=request.user, upload=upload)
    return status_of(_upload(request, upload_id))


def _upload(request: HttpRequest, upload_id: UUID) -> Upload:
    return Upload.objects.select_related("project__workspace").get_visible(request.user, pk=upload_id)


@router.get("/uploads/local", response=LocalOut, operation_id="local_listing", url_name="uploads_local")
def local_listing(request: HttpRequest, folder: str = "") -> dict[str, Any]:
    """The folders and files of this computer that its owner may take in; "" lists the offered folders.

    404 where none are offered, 403 for everybody else.
    """
    check_local(request.user, request.META.get("REMOTE_ADDR", ""))
    return listing_of(folder)


@router.post("/uploads/local", response={201: UploadOut}, operation_id="upload_local")
def upload_local(request: HttpRequest, body: LocalIn) -> tuple[int, dict[str, Any]]:
    """Take in a file of this computer, by its place in the listing; it is copied in the background."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    check_local(request.user, request.META.get("REMOTE_ADDR", ""))
    project = Project.objects.select_related("workspace", "current").get_visible(
        request.user, pk=body.project
    )
    upload = copy_of(
        actor=request.user, project=project, purpose=body.purpose, path=body.path, form=body.form
    )
    return 201, status_of(upload)
