"""Cycles over HTTP."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema

from webapp.cycles import services, steering
from webapp.cycles.models import Cycle
from webapp.cycles.selectors import cycle_state
from webapp.fleet.selectors import workers_alive

router = Router(tags=["cycles"])


@router.get("/cycles/{uuid:cycle_id}", operation_id="cycle_get")
def cycle_get(request: HttpRequest, cycle_id: uuid.UUID) -> dict[str, Any]:
    """The live state of a cycle, and how many workers could take it."""
    cycle = Cycle.objects.get_visible(request.user, pk=cycle_id)
    return {**cycle_state(cycle), "workers_alive": workers_alive().count()}


@router.post("/cycles/{uuid:cycle_id}/cancel", operation_id="cycle_cancel")
def cycle_cancel(request: HttpRequest, cycle_id: uuid.UUID) -> dict[str, Any]:
    """Stop it; the project keeps the checkpoint that it has. 409 when it is too late."""
    cycle = Cycle.objects.select_related("project__workspace").get_visible(request.user, pk=cycle_id)
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    return cycle_state(steering.cycle_cancel(actor=request.user, cycle=cycle))


@router.post("/cycles/{uuid:cycle_id}/pause", operation_id="cycle_pause")
def cycle_pause(request: HttpRequest, cycle_id: uuid.UUID) -> dict[str, Any]:
    """Write a snapshot and free the device; `cycle_resume` goes on from there. 409 when it is too late."""
    cycle = Cycle.objects.select_related("project__workspace").get_visible(request.user, pk=cycle_id)
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    return cycle_state(steering.cycle_pause(actor=request.user, cycle=cycle))


@router.post("/cycles/{uuid:cycle_id}/resume", operation_id="cycle_resume")
def cycle_resume(request: HttpRequest, cycle_id: uuid.UUID) -> dict[str, Any]:
    """Let a paused cycle go on. 409 when it is not paused."""
    cycle = Cycle.objects.select_related("project__workspace").get_visible(request.user, pk=cycle_id)
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    return cycle_state(steering.cycle_resume(actor=request.user, cycle=cycle))


class Extension(Schema):
    """How much longer: a share of the planned steps, 0.1 to 2."""

    share: float = 0.5


@router.post("/cycles/{uuid:cycle_id}/extend", operation_id="cycle_extend")
def cycle_extend(request: HttpRequest, cycle_id: uuid.UUID, body: Extension) -> dict[str, Any]:
    """Let it go on for longer. 409 when what can be made longer is over."""
    cycle = Cycle.objects.select_related("project__workspace").get_visible(request.user, pk=cycle_id)
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    return cycle_state(steering.cycle_extend(actor=request.user, cycle=cycle, share=body.share))


@router.post("/cycles/{uuid:cycle_id}/retry", operation_id="cycle_retry")
def cycle_retry(request: HttpRequest, cycle_id: uuid.UUID) -> dict[str, Any]:
    """The same again as a new cycle, whose state is the answer."""
    cycle = Cycle.objects.select_related("project__workspace").get_visible(request.user, pk=cycle_id)
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    return cycle_state(services.cycle_retry(actor=request.user, cycle=cycle))
