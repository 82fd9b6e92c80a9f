"""The stream over HTTP: history, holes, and polling when no socket gets through."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from webapp.cycles.models import Cycle
from webapp.live.store import frames_after

router = Router(tags=["live"])

MOST = 2_000


@router.get("/cycles/{uuid:cycle_id}/frames", operation_id="frames_list", response=dict[str, Any])
def frames_list(
    request: HttpRequest,
    cycle_id: uuid.UUID,
    after: int = 0,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 500,
) -> HttpResponse:
    """Frames above `after`, oldest first: {"items", "last", "more"}.

    `after` below 0, or above the cycle's last number, is of another stream: {"reset": true} and no items;
    begin again at 0. Somebody else's cycle is a 404.
    """
    cycle = Cycle.objects.get_visible(request.user, pk=cycle_id)
    if not 0 <= after <= cycle.seq:
        body = f'{{"items":[],"last":{cycle.seq},"more":false,"reset":true}}'
        return HttpResponse(body, content_type="application/json")
    items = frames_after(cycle_id, after, limit) if after < cycle.seq else []
    reached = items[-1].seq if items else after
    more = "true" if len(items) == limit and reached < cycle.seq else "false"
    joined = ",".join(item.text for item in items)
    body = f'{{"items":[{joined}],"last":{max(cycle.seq, reached)},"more":{more}}}'
    return HttpResponse(body, content_type="application/json")
