"""The new-wake page: teach the current checkpoint a task, here, with the same live view as a night."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from consolidation.families.registry import computable
from consolidation.recipe import WakeRecipe, habits
from webapp.accounts.abilities import abilities_of
from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.core.errors import Conflict, InvalidInput
from webapp.core.store import NoRoom
from webapp.core.undo import done
from webapp.cycles import services
from webapp.cycles.checks import reads_texts
from webapp.cycles.choices import Kind
from webapp.cycles.device_choice import device_choices
from webapp.cycles.recipe_form import typed_recipe, wake_fields
from webapp.fleet.selectors import workers_alive
from webapp.memories.models import RecordSet, Use
from webapp.memories.selectors import live_sets
from webapp.projects.models import Project

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest, HttpResponse

    from webapp.core.requests import MemberRequest


@require_http_methods(["GET", "POST"])
def wake_create(request: MemberRequest, project_id: UUID) -> HttpResponse:
    """GET: the page. POST: a wake on the chosen training set, shown live."""
    project = Project.objects.select_related("workspace", "current").get_visible(request.user, pk=project_id)
    require_role(request.user, project.workspace, Role.EDITOR)
    sets = list(
        live_sets(project).filter(use=Use.TRAINING).select_related("task").order_by("-task__position")
    )
    if request.method == "GET":
        return _page(request, project, sets, {})
    try:
        cycle = services.cycle_start(
            actor=request.user,
            project=project,
            kind=Kind.WAKE,
            recipe=typed_recipe(request.POST, WakeRecipe),
            data=next((item for item in sets if str(item.pk) == request.POST.get("data")), None),
            device=request.POST.get("device", ""),
        )
    except (InvalidInput, Conflict, NoRoom) as error:
        field = str(error.detail.get("field", "form"))
        return _page(request, project, sets, {field: error}, status=error.status)
    words = _("%(wake)s is in line.") % {"wake": cycle}
    done(request, words, undo=reverse("cycle_cancel", args=[cycle.pk]))
    return redirect("cycle_detail", cycle_id=cycle.pk)


def _page(
    request: HttpRequest, project: Project, sets: list[RecordSet], errors: dict[str, Any], status: int = 200
) -> HttpResponse:
    typed = request.POST if request.method == "POST" else {}
    base = project.current
    usual = WakeRecipe(**habits("wake", text=reads_texts(base)))
    fields = wake_fields(usual, typed, errors)
    names = {field["name"] for field in fields}
    learns = base is not None and computable(base.family, base.config)
    alive = list(workers_alive())
    probes = set(live_sets(project).filter(use=Use.PROBE).values_list("task_id", flat=True))
    learned = set(live_sets(project).filter(use=Use.MEMORIES).values_list("task_id", flat=True))
    context = {
        "project": project,
        "me": abilities_of(request.user, project.workspace),
        "sets": [
            {
                "set": item,
                "steps": math.ceil(usual.epochs * item.rows / usual.batch),
                "probe": item.task_id in probes,
                "known": item.task_id in learned,
            }
            for item in sets
        ],
        "chosen": request.POST.get("data") or (str(sets[0].pk) if sets else ""),
        "fields": fields,
        "errors": errors,
        "unplaced": next((error for field, error in errors.items() if field not in {*names, "device"}), None),
        "open": any(field in names for field in errors),
        "not_yet": base is not None and not learns,
        "blocked": not learns or not sets,
        "workers": alive,
        "devices": device_choices(alive, typed.get("device", "")),
        "chosen_device": typed.get("device", ""),
    }
    return render(request, "cycles/wake.html", context, status=status)
