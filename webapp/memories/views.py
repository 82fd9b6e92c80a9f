"""Memories and probes: what each task holds, and the panel that takes more in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from consolidation.formats.mapping import guess_tables
from webapp.accounts.abilities import abilities_of
from webapp.core.errors import Conflict, InvalidInput
from webapp.core.store import room_left
from webapp.memories.forms import TRANSFORM_PRESETS, text_parts
from webapp.memories.models import Use
from webapp.memories.selectors import project_fit, records_by_task
from webapp.projects.models import Project
from webapp.projects.services import task_create
from webapp.uploads.models import Purpose
from webapp.uploads.page import local_offered, recent_uploads

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpResponse

    from webapp.core.requests import MemberRequest

_PURPOSES = (Purpose.MEMORIES, Purpose.PROBE, Purpose.TRAINING)


@require_safe
def records_list(request: MemberRequest, project_id: UUID) -> HttpResponse:
    """Every task with its memories, probe and training set."""
    project = Project.objects.select_related("workspace", "current").get_visible(request.user, pk=project_id)
    fit = project_fit(project)
    rows = records_by_task(project, fit)
    chosen = {str(row["task"].pk): row["task"] for row in rows}.get(request.GET.get("task", ""))
    use = request.GET.get("use", "")
    context = {
        "project": project,
        "me": abilities_of(request.user, project.workspace),
        "rows": rows,
        "no_probes": not any(item["set"] for row in rows for item in row["sets"] if item["use"] == Use.PROBE),
        "fit": fit,
        "uses": Use.choices,
        "chosen_task": chosen or (rows[0]["task"] if rows else None),
        "chosen_use": use if use in Use.values else Use.MEMORIES.value,
        "presets": TRANSFORM_PRESETS,
        "local": local_offered(request),
        "recent": recent_uploads(project, *_PURPOSES),
        "guesses": json.dumps(guess_tables()),
        "parts": text_parts(fit.objective),
        "room": max(room_left(project.workspace), 0),
    }
    return render(request, "memories/list.html", context)


@require_POST
def task_add(request: MemberRequest, project_id: UUID) -> HttpResponse:
    """One more task, after the last."""
    project = Project.objects.select_related("workspace").get_visible(request.user, pk=project_id)
    try:
        task = task_create(actor=request.user, project=project, name=request.POST.get("name", ""))
    except (InvalidInput, Conflict) as error:
        messages.error(request, error.message)
    else:
        messages.success(request, _("Task “%(name)s” was added.") % {"name": task.name})
    return redirect("records_list", project_id=project.pk)
