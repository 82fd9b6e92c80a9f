"""The measured points as they were stored: every number of every attempt, streamed in flat memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import numpy as np
from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET

from webapp.cycles.models import Cycle
from webapp.live.bins import HEAD, POINTS
from webapp.live.models import Frame, Rollup
from webapp.live.rollups import LEVELS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from webapp.core.requests import MemberRequest

FRAMES_AT_ONCE: Final = 200


@require_GET
def points_csv(request: MemberRequest, cycle_id: UUID) -> StreamingHttpResponse:
    """One line a step: attempt, engine seconds, and each measured value, empty where it is no finite number.

    Of a cycle that ended long ago only bins of 16 steps are left; then a line is a bin, with how many points
    it holds and the lowest and highest value beside the last.
    """
    cycle = Cycle.objects.get_visible(request.user, pk=cycle_id)
    lines = _rolled(cycle) if cycle.compacted_at else _raw(cycle)
    response = StreamingHttpResponse(_pieces(lines), content_type="text/csv; charset=utf-8")
    name = f"{cycle.kind}-{cycle.number}-points.csv"
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    response["Cache-Control"] = "private, no-store"
    return response


async def _pieces(lines: Iterator[str]) -> AsyncIterator[str]:
    """Under ASGI a plain iterator would be collected first; the database is asked in Django's own thread."""
    while piece := await sync_to_async(lambda: next(lines, ""))():
        yield piece


def _raw(cycle: Cycle) -> Iterator[str]:
    yield ",".join(("attempt", "step", "t", *POINTS.columns)) + "\r\n"
    after = 0
    frames = Frame.objects.filter(cycle=cycle, points__isnull=False).order_by("seq")
    while found := list(frames.filter(seq__gt=after).values_list("seq", "epoch", "points")[:FRAMES_AT_ONCE]):
        after = found[-1][0]
        lines = []
        for _seq, epoch, text in found:
            points = json.loads(text or "{}")
            names = ("step", "t", *POINTS.columns)
            columns = [points.get(name) or [None] * len(points["step"]) for name in names]
            lines += [_line(epoch, values) for values in zip(*columns, strict=True)]
        if lines:
            yield "".join(lines)


def _rolled(cycle: Cycle) -> Iterator[str]:
    measured = [f"{name}{suffix}" for name in POINTS.columns for suffix in ("", "_low", "_high")]
    yield ",".join(("attempt", "step", "t", "points", *measured)) + "\r\n"
    parts = Rollup.objects.filter(cycle=cycle, series=POINTS.name, level=LEVELS[0])
    for pk, epoch in parts.order_by("epoch", "first_key").values_list("pk", "epoch"):
        rows = np.frombuffer(bytes(Rollup.objects.get(pk=pk).rows), dtype="<f8").reshape(-1, POINTS.width)
        lines = []
        for row in rows.tolist():
            values = [int(row[0]), row[1], int(row[2])]
            lines.append(_line(epoch, [*values, *(None if v != v else v for v in row[HEAD:])]))
        yield "".join(lines)


def _line(epoch: int, values: Any) -> str:
    return f"{epoch}," + ",".join("" if v is None else repr(v) for v in values) + "\r\n"
