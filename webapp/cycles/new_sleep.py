"""The new-sleep page: a preset, what is known of the wake, a checklist, and the whole recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from consolidation.recipe import PRESETS, presets
from webapp.accounts.abilities import abilities_of
from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.checkpoints.models import Checkpoint
from webapp.core.errors import Conflict, InvalidInput
from webapp.core.store import NoRoom
from webapp.core.undo import done
from webapp.cycles import services
from webapp.cycles.checks import reads_texts
from webapp.cycles.choices import Kind
from webapp.cycles.device_choice import device_choices
from webapp.cycles.recipe_form import KNOWN_BY_PAGE, PRESET_WORDS, recipe_groups, typed_recipe
from webapp.cycles.sleep_plan import checklist, day_at_hand, estimates, known_wake
from webapp.fleet.selectors import workers_alive
from webapp.projects.models import Project
from webapp.projects.selectors import holdings

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest, HttpResponse

    from webapp.core.requests import MemberRequest

DEFAULT_PRESET = "night"


@require_http_methods(["GET", "POST"])
def cycle_create(request: MemberRequest, project_id: UUID) -> HttpResponse:
    """GET: the page. POST: start a sleep and show it live; a preset alone is the one-click sleep."""
    project = Project.objects.select_related("workspace", "current").get_visible(request.user, pk=project_id)
    require_role(request.user, project.workspace, Role.EDITOR)
    if request.method == "GET":
        return _page(request, project, {})
    try:
        base = _chosen(request, project)
        # The one-click sleep asks nothing, so what the line itself knows of its waking is used.
        known = {} if "wake_examples" in request.POST else known_wake(base or project.current)
        cycle = services.cycle_start(
            actor=request.user,
            project=project,
            kind=Kind.SLEEP,
            preset=request.POST.get("preset", DEFAULT_PRESET),
            recipe=known | typed_recipe(request.POST),
            base=base,
            device=request.POST.get("device", ""),
        )
    except (InvalidInput, Conflict, NoRoom) as error:
        field = str(error.detail.get("field", "form"))
        return _page(request, project, {field: error}, status=error.status)
    words = _("%(sleep)s is in line.") % {"sleep": cycle}
    done(request, words, undo=reverse("cycle_cancel", args=[cycle.pk]))
    return redirect("cycle_detail", cycle_id=cycle.pk)


def _chosen(request: HttpRequest, project: Project) -> Checkpoint | None:
    """The checkpoint named by the form's number, or None for the current one."""
    given = request.POST.get("base", "")
    if not given:
        return None
    number = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
    found = Checkpoint.objects.filter(project=project, number=number).first()
    if found is None:
        raise InvalidInput(
            "cycle.no_checkpoint",
            _("This project has no such checkpoint. Choose one of the list."),
            field="base",
        )
    return found


def _page(request: HttpRequest, project: Project, errors: dict[str, Any], status: int = 200) -> HttpResponse:
    held = holdings(project)
    chosen = request.POST.get("preset", DEFAULT_PRESET)
    typed = request.POST if request.method == "POST" else {}
    known = known_wake(project.current)
    values = {name: str(typed.get(name, _plain(known.get(name)))) for name in ("wake_examples", "wake_lr")}
    # A preset's numbers go to the page's script, which shows what an empty field stands for.
    suited = presets(text=reads_texts(project.current))
    numbers = {name: recipe.to_json() for name, recipe in suited.items()}
    rows = sum(h.memories.rows for h in held if h.memories)
    day = day_at_hand(project)
    checks = checklist(project, held, day)
    alive = list(workers_alive())
    placed = {*numbers[DEFAULT_PRESET], "base", "device"}
    context = {
        "project": project,
        "me": abilities_of(request.user, project.workspace),
        "checkpoints": Checkpoint.objects.filter(project=project)
        .order_by("-number")
        .only("id", "number", "origin"),
        "chosen_base": request.POST.get("base", request.GET.get("base", "")),
        "chosen_preset": chosen if chosen in PRESETS else DEFAULT_PRESET,
        "presets": [
            {"name": name, **PRESET_WORDS[name], "estimate": estimate}
            for name, estimate in estimates(project, suited, held, known.get("wake_examples"), day).items()
        ],
        "numbers": numbers,
        "memory_rows": rows,
        "values": values,
        "errors": errors,
        "unplaced": next((e for f, e in errors.items() if f not in placed), None),
        "groups": recipe_groups(typed, errors),
        "advanced_open": any(f not in KNOWN_BY_PAGE and f in numbers[DEFAULT_PRESET] for f in errors),
        "checklist": checks,
        "blocked": any(check.level == "bad" for check in checks),
        "workers": alive,
        "devices": device_choices(alive, typed.get("device", "")),
        "chosen_device": typed.get("device", ""),
    }
    return render(request, "cycles/new.html", context, status=status)


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if value < 1 else str(int(value))
