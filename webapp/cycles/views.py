"""The cycle page and its buttons."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from django.contrib import messages
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from webapp.accounts.abilities import abilities_of
from webapp.core.errors import NocturneError
from webapp.cycles import services, steering
from webapp.cycles.choices import TERMINAL, Kind
from webapp.cycles.held import with_held
from webapp.cycles.models import Cycle
from webapp.cycles.outcome import outcome
from webapp.cycles.page import CANCELLABLE, EXTENSIONS, PAUSABLE, RESUMABLE, RETRIABLE, cycle_page
from webapp.cycles.way import way_of

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse

    from webapp.accounts.models import User

# What js/cycle.js imports, fetched side by side instead of one import after the other.
MODULES = [
    f"js/{name}.js"
    for name in (
        "chart", "chart_values", "charts", "diagnostics", "dialogs", "format", "formula", "gestures",
        "header", "histogram", "hypnogram", "i18n", "journal", "live", "matrix", "notes", "notify", "palette",
        "redraw", "rows", "smoothing", "stages", "states", "steering", "store", "story", "strip", "view",
        "waiting",
    )
]  # fmt: skip


def _cycle(request: HttpRequest, cycle_id: uuid.UUID) -> Cycle:
    rows = Cycle.objects.select_related(
        "project__workspace", "project__current", "base__cycle", "worker", "result", "created_by",
        "data__task", "retry_of",
    ).defer("base__cycle__report", "base__cycle__recipe", "base__cycle__environment")  # fmt: skip
    return with_held(rows).get_visible(request.user, pk=cycle_id)


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
        "begun": bool(cycle.attempt or cycle.step),
        "can_cancel": cycle.state in CANCELLABLE,
        "can_pause": cycle.state in PAUSABLE,
        "can_resume": cycle.state in RESUMABLE,
        "can_extend": page["state"]["can_extend"],
        "extensions": EXTENSIONS,
        "extended": f"+{round(100 * cycle.extended)} %" if cycle.extended else "",
        "can_retry": may.can_edit and cycle.state in RETRIABLE,
        "can_edit": may.can_edit,
        "can_sleep": may.can_edit and _may_sleep(cycle),
        "outcome": outcome(cycle),
        "me": may,
        "plan": way_of(cycle, may),
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
        "me": may,
        "plan": way_of(cycle, may),
        "can_edit": may.can_edit,
        "can_retry": may.can_edit and cycle.state in RETRIABLE,
        "can_sleep": may.can_edit and _may_sleep(cycle),
    }
    return render(request, "cycles/_outcome.html", context)


def _may_sleep(cycle: Cycle) -> bool:
    """What was just learned is the project's model now: the night after it is one click away."""
    result = getattr(cycle, "result", None)
    return cycle.kind == Kind.WAKE and result is not None and cycle.project.current_id == result.pk


def _steer(request: HttpRequest, cycle_id: uuid.UUID, step: Callable[..., Cycle]) -> HttpResponse:
    """Ask for it; the page that it was asked on shows how it comes, or says why it cannot."""
    cycle = _cycle(request, cycle_id)
    try:
        step(actor=cast("User", request.user), cycle=cycle)
    except NocturneError as error:
        if error.status not in {409, 422}:
            raise
        messages.error(request, error.message)
    match request.POST.get("back"):
        case "home":
            return redirect("home")
        case "project":
            return redirect("project_detail", project_id=cycle.project_id)
        case _:
            return redirect("cycle_detail", cycle_id=cycle_id)


@require_POST
def cycle_cancel(request: HttpRequest, cycle_id: uuid.UUID) -> HttpResponse:
    """Ask for the end."""
    return _steer(request, cycle_id, steering.cycle_cancel)


@require_POST
def cycle_pause(request: HttpRequest, cycle_id: uuid.UUID) -> HttpResponse:
    """Ask for a snapshot and a free device."""
    return _steer(request, cycle_id, steering.cycle_pause)


@require_POST
def cycle_resume(request: HttpRequest, cycle_id: uuid.UUID) -> HttpResponse:
    """Let it go on."""
    return _steer(request, cycle_id, steering.cycle_resume)


@require_POST
def cycle_extend(request: HttpRequest, cycle_id: uuid.UUID) -> HttpResponse:
    """Let it go on for longer: `percent` of the planned steps."""
    given = request.POST.get("percent", "")
    share = int(given) / 100 if given.isascii() and given.isdigit() and len(given) < 5 else 0.0
    return _steer(request, cycle_id, partial(steering.cycle_extend, share=share))


@require_POST
def cycle_retry(request: HttpRequest, cycle_id: uuid.UUID) -> HttpResponse:
    """The same again, as a new cycle, whose page opens."""
    cycle = _cycle(request, cycle_id)
    try:
        again = services.cycle_retry(actor=cast("User", request.user), cycle=cycle)
    except NocturneError as error:
        if error.status not in {409, 413, 422, 507}:
            raise
        messages.error(request, error.message)
        return redirect("cycle_detail", cycle_id=cycle_id)
    messages.success(request, _("%(title)s waits for a worker.") % {"title": again})
    return redirect("cycle_detail", cycle_id=again.pk)
