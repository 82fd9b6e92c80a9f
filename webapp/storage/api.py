"""Room and trash of the workspace over HTTP."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router

from webapp.accounts.selectors import workspace_of
from webapp.storage import services
from webapp.storage.selectors import Item, meter_of, shares_of, trash_of

router = Router(tags=["storage"])


def _in_trash(item: Item) -> dict[str, Any]:
    row = item.row
    return {
        "id": str(row.pk),
        "type": row._meta.model_name,
        "name": item.name,
        "project": {"id": str(item.project.pk), "name": item.project.name},
        "size_bytes": item.size_bytes,
        "trashed_at": row.trashed_at.isoformat(),
        "trashed_by": str(row.trashed_by_id) if row.trashed_by_id else None,
        "goes_at": row.goes_at.isoformat(),
    }


@router.get("/storage", operation_id="storage_read")
def storage_read(request: HttpRequest) -> dict[str, Any]:
    """Bytes of your workspace: quota, used, promised to uploads and cycles, left, what emptying the trash
    frees, and who takes them. A content that several things share counts once."""
    workspace = workspace_of(request.user)
    meter, shares = meter_of(workspace), shares_of(workspace)
    return {
        "quota": meter.quota,
        "used": meter.used,
        "promised": {"uploads": meter.to_uploads, "cycles": meter.to_cycles},
        "left": meter.left,
        "trash_frees": meter.trash_frees,
        "projects": [
            {"id": str(project.pk), "name": project.name, "bytes": size}
            for project, size, _ in shares.projects
        ],
        "kinds": [{"name": name, "bytes": size} for name, size, _ in shares.kinds],
    }


@router.get("/trash", operation_id="trash_list")
def trash_list(request: HttpRequest) -> dict[str, Any]:
    """What is in the trash of your workspace, the newest first."""
    return {"items": [_in_trash(item) for item in trash_of(workspace_of(request.user))]}


@router.post("/trash/empty", operation_id="trash_empty")
def trash_empty(request: HttpRequest) -> dict[str, Any]:
    """Delete all of it for good; `freed`: the bytes that the workspace has more."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    done = services.trash_empty(actor=request.user, workspace=workspace_of(request.user))
    return {"checkpoints": done.checkpoints, "record_sets": done.record_sets, "freed": done.freed}
