"""Record sets over HTTP: their trash, how long they are kept, and what is erased of them."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest
from ninja import Field, Router, Schema

from webapp.memories import erasing, retention, trash
from webapp.memories.certificate import certificate, certificate_verify
from webapp.memories.models import Erasure, RecordSet
from webapp.memories.shaped import shaped_directly, with_descendants

router = Router(tags=["record sets"])


def _record_set(request: HttpRequest, record_set_id: uuid.UUID) -> RecordSet:
    rows = RecordSet.everything.select_related("project__workspace", "task")
    return rows.get_visible(request.user, pk=record_set_id)


def _state(item: RecordSet) -> dict[str, Any]:
    return {
        "id": str(item.pk),
        "task": item.task.name,
        "use": item.use,
        "head": {"first": item.head[0], "last": item.head[1] - 1} if item.head else None,
        "size_bytes": item.size_bytes,
        "trashed_at": item.trashed_at.isoformat() if item.trashed_at else None,
        "deleted_at": item.purged_at.isoformat() if item.purged_at else None,
        "retention_days": item.retention_days,
        "expires_at": item.expires_at.isoformat() if item.expires_at else None,
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


class RetainIn(Schema):
    """`days` after the records came in they expire; null: never."""

    days: int | None = None


@router.post("/record-sets/{uuid:record_set_id}/retention", operation_id="record_set_retain")
def record_set_retain(request: HttpRequest, record_set_id: uuid.UUID, body: RetainIn) -> dict[str, Any]:
    """Set how long the records may be used. Then nothing replays them, and the file is deleted."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    item = _record_set(request, record_set_id)
    return _state(retention.record_set_retain(actor=request.user, record_set=item, days=body.days))


class EraseIn(Schema):
    """`ids` of records in hex, or the `subject` who owns them. `scope`: "set" (this set and every copy in the
    project), "project" or "workspace". `rows`: as the preview counted them; only to erase."""

    ids: list[str] = Field(default_factory=list)
    subject: str = ""
    scope: str = "set"
    rows: int | None = None

    def wanted(self, record_set: RecordSet) -> erasing.Wanted:
        return erasing.wanted(
            record_set=record_set, scope=self.scope, ids="\n".join(self.ids), subject=self.subject
        )


@router.post("/record-sets/{uuid:record_set_id}/erase/preview", operation_id="record_set_erase_preview")
def record_set_erase_preview(request: HttpRequest, record_set_id: uuid.UUID, body: EraseIn) -> dict[str, Any]:
    """What would be erased: how many rows of which sets. Nothing is changed."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    asked = body.wanted(_record_set(request, record_set_id))
    found = erasing.record_set_erase_preview(actor=request.user, asked=asked)
    return {
        "records": len(found.ids),
        "rows": found.rows,
        "asked": found.asked,
        "unsearched": found.unsearched,
        "sets": [{**_state(hit.record_set), "rows": hit.rows} for hit in found.hits],
    }


@router.post("/record-sets/{uuid:record_set_id}/erase", operation_id="record_set_erase")
def record_set_erase(request: HttpRequest, record_set_id: uuid.UUID, body: EraseIn) -> dict[str, Any]:
    """Erase records for good; the answer is the certificate. 409 when `rows` is not the preview's number.
    Cycles that have read them stop within seconds and publish nothing (`replay.revoked`)."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    asked = body.wanted(_record_set(request, record_set_id))
    return certificate(erasing.record_set_erase(actor=request.user, asked=asked, rows=body.rows))


@router.get("/record-sets/{uuid:record_set_id}/checkpoints", operation_id="record_set_shaped")
def record_set_shaped(request: HttpRequest, record_set_id: uuid.UUID) -> list[dict[str, Any]]:
    """The checkpoints that the set shaped: those whose cycle has read it, and their descendants."""
    item = _record_set(request, record_set_id)
    return [
        {"id": str(one.checkpoint.pk), "number": one.checkpoint.number, "how": one.how}
        for one in with_descendants(shaped_directly([item.pk]))
    ]


def _erasure(request: HttpRequest, erasure_id: uuid.UUID) -> Erasure:
    return Erasure.objects.select_related("workspace", "project").get_visible(request.user, pk=erasure_id)


@router.get("/erasures/{uuid:erasure_id}", operation_id="erasure_certificate")
def erasure_certificate(request: HttpRequest, erasure_id: uuid.UUID) -> dict[str, Any]:
    """The certificate of an erasure. `finished_at` is null while a file still holds the records."""
    return certificate(_erasure(request, erasure_id))


class CertificateIn(Schema):
    """A certificate as somebody has it."""

    certificate: dict[str, Any] = Field(default_factory=dict)


@router.post("/erasures/{uuid:erasure_id}/verify", operation_id="erasure_certificate_verify")
def erasure_certificate_verify(
    request: HttpRequest, erasure_id: uuid.UUID, body: CertificateIn
) -> dict[str, Any]:
    """Whether this server signed exactly this certificate, and for this erasure."""
    mine = str(_erasure(request, erasure_id).pk) == body.certificate.get("id")
    return {"valid": mine and certificate_verify(body.certificate)}
