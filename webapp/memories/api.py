"""The trash of record sets over HTTP."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest
from ninja import Router

from webapp.memories import trash
from webapp.memories.models import RecordSet

router = Router(tags=["record sets"])


def _record_set(request: HttpRequest, record_set_id: uuid.UUID) -> RecordSet:
    rows = RecordSet.everything.select_related("project__workspace", "task")
    return rows.get_visible(request.user, pk=record_set_id)


def _state(item: RecordSet) -> dict[str, Any]:
    return {
        "id": str(item.pk),
        "task": item.task.name,
        "use": item.use,
        "size_bytes": item.size_bytes,
        "trashed_at": item.trashed_at.isoformat() if item.trashed_at else None,
        "deleted_at": item.purged_at.isoformat() if item.purged_at else None,
    }


@router.post("/record-sets/{uuid:record_set_id}/trash", operation_id="record_set_trash")
def record_set_trash(request: HttpRequest, record_set_id: uuid.UUID) -> dict[str, Any]:
    """Put it into the trash for seven days. 409 while a cycle that has not ended uses it."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    item = _record_set(request, record_set_id)
    return _state(trash.record_set_trash(actor=request.user, record_set=item))


@router.post("/record-sets/{uuid:record_set_id}/restore", operation_id="record_set_restore")
def record_set_restore(request: HttpRequest, record_set_id: uuid.UUID) -> dict[str, Any]:
    """Bring it back from the trash. 409 when a newer set has taken its place."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    item = _record_set(request, record_set_id)
    return _state(trash.record_set_restore(actor=request.user, record_set=item))


@router.delete("/record-sets/{uuid:record_set_id}", operation_id="record_set_delete")
def record_set_delete(request: HttpRequest, record_set_id: uuid.UUID) -> dict[str, Any]:
    """Delete for good what is in the trash; `freed`: the bytes that the workspace has more."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    item = _record_set(request, record_set_id)
    return {"freed": trash.record_set_delete(actor=request.user, record_set=item)}
