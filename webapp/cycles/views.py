"""The cycle page and its three buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.contrib import messages
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from webapp.accounts.abilities import abilities_of
from webapp.core.errors import NocturneError
from webapp.cycles import services
from webapp.cycles.choices import TERMINAL, Kind
from webapp.cycles.models import Cycle
from webapp.cycles.outcome import outcome
from webapp.cycles.page import CANCELLABLE, RETRIABLE, WAITING, cycle_page

if TYPE_CHECKING:
    import uuid

    from django.http import HttpRequest, HttpResponse

    from webapp.accounts.models import User

# What js/cycle.js imports, fetched side by side instead of one import after the other.
MODULES = [
    f"js/{name}.js"
    for name in (
        "chart", "chart_values", "charts", "diagnostics", "dialogs", "format", "formula", "gestures",
        "header", "histogram", "hypnogram", "i18n", "journal", "live", "matrix", "notes", "notify", "palette",
        "redraw", "rows", "smoothing", "stages", "store", "strip", "view",
    )
]  # fmt: skip


def _cycle(request: HttpRequest, cycle_id: uuid.UUID) -> Cycle:
    rows = Cycle.objects.select_related(
        "project__workspace", "base", "worker", "result", "created_by", "data__task", "retry_of"
    )
    return rows.get_visible(request.user, pk=cycle_id)


@require_GET
def cycle_detail(request: HttpRequest, cycle_id: uuid.UUID) -> HttpResponse:
    """The live page: what is known now is in the HTML, the rest comes as frames."""
    cycle = _cycle(request, cycle_id)
    page = cycle_page(cycle)
    may = abilities_of(request.user, cycle.project.workspace)
    context = {
        "cycle": cycle,
        "project": cycle.project,
        "page": page,
        "state": page["state"],
        "ended": cycle.state in TERMINAL,
        "waiting": cycle.state in WAITING,
        "can_cancel": may.can_edit and cycle.state in CANCELLABLE,
        "can_retry": may.can_edit and cycle.state in RETRIABLE,
        "can_edit": may.can_edit,
        "can_sleep": may.can_edit and _may_sleep(cycle),
        "outcome": outcome(cycle),
        "modules": MODULES,
        "size_views": [("significance", _("Significance")), ("weights", _("Weights"))],
        "device_views": [("use", _("Use")), ("memory", _("Memory")), ("power", _("Power"))],
        "recipe": sorted(cycle.recipe.items()),
        "environment": sorted(cycle.environment.items()),
    }
    return render(request, "cycles/detail.html", context)


@require_GET
def cycle_outcome(request: HttpRequest, cycle_id: uuid.UUID) -> HttpResponse:
    """What the page puts in when the cycle ends while somebody looks."""
    cycle = _cycle(request, cycle_id)
    may = abilities_of(request.user, cycle.project.workspace)
    context = {
        "cycle": cycle,
        "project": cycle.project,
        "outcome": outcome(cycle),
        "can_retry": may.can_edit and cycle.state in RETRIABLE,
        "can_sleep": may.can_edit and _may_sleep(cycle),
    }
    return render(request, "cycles/_outcome.html", context)


def _may_sleep(cycle: Cycle) -> bool:
    """What was just learned is the project's model now: the night after it is one click away."""
    result = getattr(cycle, "result", None)
    return cycle.kind == Kind.WAKE and result is not None and cycle.project.current_id == result.pk


@require_POST
def cycle_cancel(request: HttpRequest, cycle_id: uuid.UUID) -> HttpResponse:
    """Ask for the end; the page shows how it comes."""
    cycle = _cycle(request, cycle_id)
    try:
        services.cycle_cancel(actor=cast("User", request.user), cycle=cycle)
    except NocturneError as error:
        if error.status != 409:
            raise
        messages.error(request, error.message)
    return redirect("cycle_detail", cycle_id=cycle_id)


@require_POST
def cycle_retry(request: HttpRequest, cycle_id: uuid.UUID) -> HttpResponse:
    """The same again, as a new cycle, whose page opens."""
    cycle = _cycle(request, cycle_id)
    try:
        again = services.cycle_retry(actor=cast("User", request.user), cycle=cycle)
    except NocturneError as error:
        if error.status != 409:
            raise
        messages.error(request, error.message)
        return redirect("cycle_detail", cycle_id=cycle_id)
    messages.success(request, _("%(title)s waits for a worker.") % {"title": again})
    return redirect("cycle_detail", cycle_id=again.pk)
