"""The stream over HTTP: history, holes, and polling when no socket gets through."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema

from webapp.cycles.models import Cycle
from webapp.live import history, notes
from webapp.live.models import Note
from webapp.live.store import frames_after

router = Router(tags=["live"])

MOST = 2_000
# The largest whole number that a browser's numbers hold.
LAST_STEP = 2**53
PAGE_BYTES = 4_000_000


@router.get("/cycles/{uuid:cycle_id}/frames", operation_id="frames_list", response=dict[str, Any])
def frames_list(
    request: HttpRequest,
    cycle_id: uuid.UUID,
    after: int = 0,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 500,
) -> HttpResponse:
    """Frames above `after`, oldest first: {"items", "last", "more"}; a page ends after some 4 MB.

    `after` below 0, or above the cycle's last number, is of another stream: {"reset": true} and no items;
    begin again at 0. A cycle that ended long ago is kept as history only: {"reset": true, "compacted": true}.
    Somebody else's cycle is a 404.
    """
    cycle = Cycle.objects.get_visible(request.user, pk=cycle_id)
    compacted = cycle.compacted_at is not None and after < cycle.seq
    if compacted or not 0 <= after <= cycle.seq:
        why = f'"reset":true,"compacted":{str(compacted).lower()}'
        return _json(f'{{"items":[],"last":{cycle.seq},"more":false,{why}}}')
    items = frames_after(cycle_id, after, limit, most=PAGE_BYTES) if after < cycle.seq else []
    reached = items[-1].seq if items else after
    more = "true" if items and reached < cycle.seq else "false"
    joined = ",".join(item.text for item in items)
    return _json(f'{{"items":[{joined}],"last":{max(cycle.seq, reached)},"more":{more}}}')


@router.get("/cycles/{uuid:cycle_id}/history", operation_id="history_get", response=dict[str, Any])
def history_get(
    request: HttpRequest,
    cycle_id: uuid.UUID,
    points: Annotated[int, Query(ge=50, le=history.MOST_ROWS)] = history.MOST_ROWS,
) -> HttpResponse:
    """The stream so far in one answer: all events, and the points in at most `points` bins a series."""
    cycle = Cycle.objects.get_visible(request.user, pk=cycle_id)
    return _json(history.history_text(cycle.pk, points=points))


@router.get("/cycles/{uuid:cycle_id}/points", operation_id="points_list", response=dict[str, Any])
def points_list(
    request: HttpRequest,
    cycle_id: uuid.UUID,
    low: Annotated[int, Query(ge=0, le=LAST_STEP)] = 0,
    high: Annotated[int, Query(ge=0, le=LAST_STEP)] = LAST_STEP,
    points: Annotated[int, Query(ge=50, le=history.MOST_ROWS)] = history.MOST_ROWS,
) -> dict[str, Any]:
    """Finer bins of the steps `low` to `high`, all by default: what a zoom asks for."""
    cycle = Cycle.objects.get_visible(request.user, pk=cycle_id)
    return history.points_between(cycle.pk, low, high, points=points)


class NoteIn(Schema):
    """Where and what: seconds on the page's clock, the step there, the words."""

    t: float = 0.0
    step: int = 0
    text: str = ""


@router.post("/cycles/{uuid:cycle_id}/notes", operation_id="note_create", response={201: dict[str, Any]})
def note_create(request: HttpRequest, cycle_id: uuid.UUID, body: NoteIn) -> tuple[int, dict[str, Any]]:
    """Write a note beside a moment of the cycle; everybody who watches sees it."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    cycle = Cycle.objects.select_related("project__workspace").get_visible(request.user, pk=cycle_id)
    note = notes.note_create(actor=request.user, cycle=cycle, t=body.t, step=body.step, text=body.text)
    return 201, {"id": str(note.pk)}


@router.delete("/notes/{uuid:note_id}", operation_id="note_remove", response={204: None})
def note_remove(request: HttpRequest, note_id: uuid.UUID) -> tuple[int, None]:
    """Take a note away."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    note = Note.objects.select_related("cycle__project__workspace").get_visible(request.user, pk=note_id)
    notes.note_remove(actor=request.user, note=note)
    return 204, None


@router.post("/notes/{uuid:note_id}/restore", operation_id="note_restore", response={204: None})
def note_restore(request: HttpRequest, note_id: uuid.UUID) -> tuple[int, None]:
    """Bring a removed note back."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    note = Note.objects.select_related("cycle__project__workspace", "author").get_visible(
        request.user, pk=note_id
    )
    notes.note_restore(actor=request.user, note=note)
    return 204, None


def _json(body: str) -> HttpResponse:
    return HttpResponse(body, content_type="application/json")
