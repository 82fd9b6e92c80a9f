"""The workers' page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Prefetch
from django.db.models.functions import Now
from django.shortcuts import render

from webapp.cycles.choices import ACTIVE
from webapp.cycles.models import Cycle
from webapp.fleet.models import Worker
from webapp.fleet.selectors import ALIVE

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


def fleet(request: HttpRequest) -> HttpResponse:
    """Every worker of this installation; the cycle it runs is shown for the person's own workspaces."""
    mine = Cycle.objects.visible_to(request.user).filter(state__in=ACTIVE).select_related("project")
    workers = Worker.objects.annotate(now=Now()).prefetch_related(
        Prefetch("cycles", queryset=mine, to_attr="running")
    )
    rows = [{"worker": worker, "standing": _standing(worker)} for worker in workers]
    return render(
        request, "fleet/fleet.html", {"rows": rows, "alive": sum(r["standing"] == "alive" for r in rows)}
    )


def _standing(worker: Worker) -> str:
    """ "alive", "late" (silent for longer than six heartbeats) or "stopped" (it said goodbye)."""
    if worker.stopped_at is not None:
        return "stopped"
    return "alive" if worker.heartbeat_at > worker.now - ALIVE else "late"  # type: ignore[attr-defined]
