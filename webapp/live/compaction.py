"""Old streams become small: events stay word for word, points stay in bins of 16 steps, the rest goes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from webapp.cycles.choices import TERMINAL
from webapp.cycles.models import Cycle
from webapp.live.bins import SERIES
from webapp.live.models import Frame, Rollup
from webapp.live.rollups import RollupWriter

if TYPE_CHECKING:
    from uuid import UUID

AT_ONCE: Final = 5


def frames_compact() -> int:
    """Compact streams of cycles that ended NOCTURNE_FRAMES_DAYS ago, a few at a time; how many it were."""
    old = Cycle.objects.filter(
        state__in=TERMINAL,
        compacted_at__isnull=True,
        finished_at__lt=Now() - timedelta(days=settings.FRAMES_DAYS),
    )
    ids = list(old.order_by("finished_at").values_list("pk", flat=True)[:AT_ONCE])
    return sum(cycle_compact(pk) for pk in ids)


@transaction.atomic
def cycle_compact(cycle_id: UUID) -> bool:
    """One cycle's; False when another did it meanwhile. Readers see it before or after, never between."""
    cycle = Cycle.objects.select_for_update().filter(pk=cycle_id, compacted_at__isnull=True).first()
    if cycle is None:
        return False
    # What each attempt left open in its writer's memory is only in the frames: all bins are made anew.
    Rollup.objects.filter(cycle=cycle).delete()
    for epoch in range(1, cycle.epoch + 1):
        _roll_up(cycle.pk, epoch)
    Frame.objects.filter(cycle=cycle, telling=False).delete()
    Frame.objects.filter(cycle=cycle).update(points=None, device=None)
    Cycle.objects.filter(pk=cycle.pk).update(compacted_at=Now())
    return True


def _roll_up(cycle_id: UUID, epoch: int) -> None:
    writer = RollupWriter()
    names = [series.name for series in SERIES]
    measured = Q(points__isnull=False) | Q(device__isnull=False)
    frames = Frame.objects.filter(measured, cycle_id=cycle_id, epoch=epoch).order_by("seq")
    for seq, *texts in frames.values_list("seq", *names).iterator(chunk_size=500):
        payload = {name: json.loads(text) for name, text in zip(names, texts, strict=True) if text}
        parts = writer.add(payload)
        writer.wrote(payload, seq)
        writer.store(cycle_id, epoch, parts)
    writer.store(cycle_id, epoch, writer.finish())
