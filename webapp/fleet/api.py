"""The fleet over HTTP."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest
from ninja import Router

from webapp.fleet import services
from webapp.fleet.models import Worker
from webapp.fleet.page import fleet_json, fleet_of
from webapp.fleet.selectors import worker_get

router = Router(tags=["fleet"])


@router.get("/fleet", operation_id="fleet_get")
def fleet_get(request: HttpRequest, page: int = 1) -> dict[str, Any]:
    """The workers, and page by page your waiting cycles: place in the line, reason and expected start.

    `waiting` counts everybody's; `expected` is null when nobody can say.
    """
    return fleet_json(fleet_of(request.user, page=page))


@router.post("/workers/{uuid:worker_id}/drain", operation_id="worker_drain")
def worker_drain(request: HttpRequest, worker_id: uuid.UUID) -> dict[str, Any]:
    """Let it take nothing new; what it runs goes on. 403 for whoever does not run this installation."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    return _standing(services.worker_drain(actor=request.user, worker=worker_get(worker_id)))


@router.post("/workers/{uuid:worker_id}/undrain", operation_id="worker_undrain")
def worker_undrain(request: HttpRequest, worker_id: uuid.UUID) -> dict[str, Any]:
    """Let it take cycles again. 403 for whoever does not run this installation."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    return _standing(services.worker_undrain(actor=request.user, worker=worker_get(worker_id)))


def _standing(worker: Worker) -> dict[str, Any]:
    since = worker.draining_at
    return {"id": str(worker.pk), "name": worker.name, "draining_at": since.isoformat() if since else None}
