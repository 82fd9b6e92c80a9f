"""The workers' page and its two buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib import messages
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from webapp.accounts.abilities import operated_by
from webapp.core.undo import done
from webapp.fleet import services
from webapp.fleet.page import fleet_of
from webapp.fleet.selectors import worker_get

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest, HttpResponse

    from webapp.core.requests import MemberRequest

LARGE = 50


@require_GET
def fleet(request: HttpRequest) -> HttpResponse:
    """Every worker of this installation; of cycles, only those of the person's own workspaces."""
    seen = fleet_of(request.user, page=request.GET.get("page", 1))
    context = {
        "fleet": seen,
        # Ages tell themselves; a large table is not drawn again for everybody every few seconds.
        "refresh": 5 if len(seen.workers) <= LARGE else 15,
        "may_drain": operated_by(request.user) is not None,
        "lease": settings.CYCLE_LEASE_SECONDS,
        "tick": settings.CLOCK_TICK_SECONDS,
        "protocol": settings.CYCLE_PROTOCOL,
        "embedded": settings.EMBEDDED_DATABASE,
    }
    return render(request, "fleet/fleet.html", context)


@require_POST
def worker_drain(request: MemberRequest, worker_id: UUID) -> HttpResponse:
    """Let it take nothing new."""
    worker = services.worker_drain(actor=request.user, worker=worker_get(worker_id))
    done(
        request,
        _("%(name)s takes no new cycle; what it runs goes on to its end.") % {"name": worker.name},
        undo=reverse("worker_undrain", args=[worker.pk]),
    )
    return redirect("fleet")


@require_POST
def worker_undrain(request: MemberRequest, worker_id: UUID) -> HttpResponse:
    """Let it take cycles again."""
    worker = services.worker_undrain(actor=request.user, worker=worker_get(worker_id))
    messages.success(request, _("%(name)s takes cycles again.") % {"name": worker.name})
    return redirect("fleet")
