"""The scores of one checkpoint: measure them here, or type in what is known from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.checkpoints.known_scores import scores_enter, typed_value
from webapp.checkpoints.models import Checkpoint, Score
from webapp.core.errors import InvalidInput
from webapp.memories.selectors import live_sets
from webapp.projects.models import Task

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpResponse

    from webapp.core.requests import MemberRequest


@require_http_methods(["GET", "POST"])
def checkpoint_scores(request: MemberRequest, checkpoint_id: UUID) -> HttpResponse:
    """GET: a field a task, measured ones as they are. POST: what was typed, all or nothing."""
    checkpoint = Checkpoint.objects.select_related("project__workspace", "project__current").get_visible(
        request.user, pk=checkpoint_id
    )
    require_role(request.user, checkpoint.project.workspace, Role.EDITOR)
    if request.method == "GET":
        return _page(request, checkpoint)
    tasks = Task.objects.filter(project_id=checkpoint.project_id)
    posted = {
        task.pk: typed_value(request.POST[str(task.pk)]) for task in tasks if str(task.pk) in request.POST
    }
    try:
        changed = scores_enter(actor=request.user, checkpoint=checkpoint, values=posted)
    except InvalidInput as error:
        return _page(request, checkpoint, error)
    if changed:
        words = ngettext("%(n)d score was written down.", "%(n)d scores were written down.", changed)
        messages.success(request, words % {"n": changed})
    else:
        messages.info(request, _("Nothing changed."))
    return redirect("checkpoint_detail", checkpoint_id=checkpoint.pk)


def _page(request: MemberRequest, checkpoint: Checkpoint, error: InvalidInput | None = None) -> HttpResponse:
    known = {score.task_id: score for score in Score.objects.filter(checkpoint=checkpoint).defer("correct")}
    wrong = error.detail.get("field") if error else None
    rows: list[dict[str, Any]] = []
    for task in Task.objects.filter(project_id=checkpoint.project_id):
        score, key = known.get(task.pk), str(task.pk)
        kept = repr(score.value) if score else ""
        rows.append(
            {
                "task": task,
                "key": key,
                "measured": score if score and not score.typed else None,
                "text": request.POST.get(key, kept),
                "error": error if wrong == key else None,
            }
        )
    context = {
        "checkpoint": checkpoint,
        "project": checkpoint.project,
        "rows": rows,
        "open": any(row["measured"] is None for row in rows),
        "probes": live_sets(checkpoint.project).filter(use="probe").exists(),
        "error": error,
    }
    return render(request, "checkpoints/scores.html", context, status=error.status if error else 200)
