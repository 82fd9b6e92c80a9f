"""Schedules of one project, of all projects, and the preview of their next times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django.contrib import messages
from django.db.models import Prefetch
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from consolidation.recipe import PRESETS
from webapp.accounts.abilities import abilities_of
from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.core.errors import InvalidInput
from webapp.core.undo import done
from webapp.cycles.recipe_form import PRESET_WORDS
from webapp.projects.models import Project
from webapp.schedules import services
from webapp.schedules.models import Schedule, ScheduleFire
from webapp.schedules.selectors import next_times

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from webapp.core.requests import MemberRequest

CRON_PRESETS = (
    ("0 2 * * *", gettext_lazy("Every night at 02:00")),
    ("0 2 * * 1-5", gettext_lazy("Weeknights at 02:00")),
    ("0 3 * * 6", gettext_lazy("Saturdays at 03:00")),
    ("0 */6 * * *", gettext_lazy("Every six hours")),
    ("0 4 1 * *", gettext_lazy("The first of the month at 04:00")),
)
FIRES_SHOWN = 20
# Which field of the form an error of the service belongs to.
_FIELD_OF = {
    "schedule.name": "name",
    "schedule.cron": "cron",
    "schedule.timezone": "timezone",
    "schedule.until": "until",
    "cycle.param_range": "preset",
}


def _with_last_fire(rows: QuerySet[Schedule]) -> list[Schedule]:
    """Schedules, each with `last_fires`: its newest fire or none. Two queries."""
    newest = (
        ScheduleFire.objects.order_by("schedule", "-fire_at").distinct("schedule").select_related("cycle")
    )
    return list(rows.prefetch_related(Prefetch("fires", queryset=newest, to_attr="last_fires")))


def schedule_overview(request: HttpRequest) -> HttpResponse:
    """Every schedule that the person can see, the next to fire first."""
    rows = (
        Schedule.objects.visible_to(request.user)
        .select_related("project")
        .order_by("-enabled", "next_fire_at", "name")
    )
    projects = Project.objects.visible_to(request.user).order_by("name")[:50]
    return render(
        request, "schedules/overview.html", {"schedules": _with_last_fire(rows), "projects": projects}
    )


def _form(values: dict[str, str] | None = None, error: InvalidInput | None = None) -> dict[str, Any]:
    """What the editor needs: values, the error beside its field, and the choices."""
    blank = {"name": "", "cron": "0 2 * * *", "timezone": "", "preset": "night", "until": ""}
    filled = blank | (values or {})
    where = _FIELD_OF.get(error.code, "form") if error else ""
    return {
        "values": filled,
        "errors": {where: error} if error else {},
        "cron_presets": CRON_PRESETS,
        "presets": [(name, PRESET_WORDS[name]["title"]) for name in PRESETS],
        "zones": sorted(available_timezones()),
        **_preview(filled["cron"], filled["timezone"] or "UTC"),
    }


def _preview(cron: str, timezone: str) -> dict[str, Any]:
    try:
        return {"times": next_times(cron, timezone, count=5), "preview_zone": timezone}
    except InvalidInput as error:
        return {"times": [], "preview_error": error, "preview_zone": timezone}


@require_GET
def schedule_preview(request: HttpRequest) -> HttpResponse:
    """The next five times of a cron line in a zone, while the person types; a piece of the editor's page."""
    cron, timezone = request.GET.get("cron", "")[:120], request.GET.get("timezone", "")[:64]
    return render(request, "schedules/_preview.html", _preview(cron, timezone))


def _typed(request: HttpRequest) -> dict[str, str]:
    fields = ("name", "cron", "timezone", "preset", "until")
    return {field: request.POST[field].strip() for field in fields if field in request.POST}


@require_http_methods(["GET", "POST"])
def schedule_list(request: MemberRequest, project_id: UUID) -> HttpResponse:
    """One project's schedules; a POST makes a new one."""
    project = Project.objects.select_related("workspace", "current").get_visible(request.user, pk=project_id)
    error, values = None, {"name": _("Nightly"), "timezone": request.user.timezone}
    if request.method == "POST":
        values |= _typed(request)
        try:
            services.schedule_create(actor=request.user, project=project, **values)
        except InvalidInput as refused:
            error = refused
        else:
            messages.success(request, _("The schedule is on."))
            return redirect("schedule_list", project_id=project.pk)
    rows = Schedule.objects.filter(project=project).order_by("-enabled", "next_fire_at", "name")
    context = {
        "project": project,
        "me": abilities_of(request.user, project.workspace),
        "schedules": _with_last_fire(rows),
        "is_new": True,
        **_form(values, error),
    }
    return render(request, "schedules/list.html", context, status=error.status if error else 200)


def _schedule(request: HttpRequest, schedule_id: UUID) -> Schedule:
    return Schedule.objects.select_related("project__workspace").get_visible(request.user, pk=schedule_id)


@require_http_methods(["GET", "POST"])
def schedule_detail(request: MemberRequest, schedule_id: UUID) -> HttpResponse:
    """One schedule: its editor, its next times and what became of the last ones."""
    schedule = _schedule(request, schedule_id)
    error: InvalidInput | None = None
    values = {field: getattr(schedule, field) for field in ("name", "cron", "timezone", "preset")}
    values["until"] = schedule.until.isoformat("minutes") if schedule.until else ""
    if request.method == "POST":
        values |= _typed(request)
        try:
            services.schedule_update(actor=request.user, schedule=schedule, **values)
        except InvalidInput as refused:
            error = refused
        else:
            messages.success(request, _("The schedule was changed."))
            return redirect("schedule_list", project_id=schedule.project_id)
    context = {
        "schedule": schedule,
        "project": schedule.project,
        "me": abilities_of(request.user, schedule.project.workspace),
        "fires": schedule.fires.select_related("cycle").order_by("-fire_at")[:FIRES_SHOWN],
        **_form(values, error),
    }
    return render(request, "schedules/detail.html", context, status=error.status if error else 200)


@require_POST
def schedule_switch(request: MemberRequest, schedule_id: UUID) -> HttpResponse:
    """Turn it on or off."""
    schedule = _schedule(request, schedule_id)
    enabled = request.POST.get("enabled") == "1"
    services.schedule_update(actor=request.user, schedule=schedule, enabled=enabled)
    done(
        request,
        _("The schedule is on.") if enabled else _("The schedule is off."),
        undo=reverse("schedule_switch", args=[schedule.pk]),
        enabled="0" if enabled else "1",
    )
    return redirect("schedule_list", project_id=schedule.project_id)


@require_POST
def schedule_delete(request: MemberRequest, schedule_id: UUID) -> HttpResponse:
    """Remove it, after the dialog asked."""
    schedule = _schedule(request, schedule_id)
    require_role(request.user, schedule.project.workspace, Role.ADMIN)
    services.schedule_delete(actor=request.user, schedule=schedule)
    done(
        request,
        _("The schedule is gone; the cycles that it started stay."),
        undo=reverse("schedule_restore", args=[schedule.pk]),
    )
    return redirect("schedule_list", project_id=schedule.project_id)


@require_POST
def schedule_restore(request: MemberRequest, schedule_id: UUID) -> HttpResponse:
    """Bring a deleted one back: the toast's "Undo"."""
    rows = Schedule.everything.select_related("project__workspace")
    schedule = rows.get_visible(request.user, pk=schedule_id)
    services.schedule_restore(actor=request.user, schedule=schedule)
    messages.success(request, _("The schedule is back."))
    return redirect("schedule_list", project_id=schedule.project_id)
