"""The page of one checkpoint, and the button that makes it current."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from webapp.accounts.abilities import abilities_of
from webapp.checkpoints import promotion
from webapp.checkpoints.models import Checkpoint
from webapp.checkpoints.selectors import TENSORS_SHOWN, checkpoint_scores, config_rows, lineage, tensor_rows
from webapp.core.errors import Conflict
from webapp.core.undo import done

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest, HttpResponse

    from webapp.core.requests import MemberRequest


def checkpoint_detail(request: HttpRequest, checkpoint_id: UUID) -> HttpResponse:
    """Scores, lineage, tensors and facts of one version."""
    checkpoint = Checkpoint.objects.select_related(
        "project__workspace", "project__current", "parent", "cycle", "created_by"
    ).get_visible(request.user, pk=checkpoint_id)
    scores = checkpoint_scores(checkpoint)
    context = {
        "me": abilities_of(request.user, checkpoint.project.workspace),
        "checkpoint": checkpoint,
        "project": checkpoint.project,
        "is_current": checkpoint.project.current_id == checkpoint.pk,
        "scores": scores,
        "scored": any(row["value"] is not None for row in scores),
        "config": config_rows(checkpoint.config),
        "tensors": tensor_rows(checkpoint.tensors),
        "tensors_hidden": max(0, len(checkpoint.tensors) - TENSORS_SHOWN),
        **lineage(checkpoint),
    }
    return render(request, "checkpoints/detail.html", context)


@require_POST
def checkpoint_promote(request: MemberRequest, checkpoint_id: UUID) -> HttpResponse:
    """Make it the project's current checkpoint; this is also the way back to an older one."""
    checkpoint = Checkpoint.objects.select_related("project__workspace").get_visible(
        request.user, pk=checkpoint_id
    )
    before = checkpoint.project.current_id
    try:
        promotion.checkpoint_promote(actor=request.user, checkpoint=checkpoint)
    except Conflict as error:
        messages.error(request, error.message)
        return redirect("checkpoint_detail", checkpoint_id=checkpoint.pk)
    words = _("%(version)s is now the current checkpoint.") % {"version": checkpoint}
    if before:
        done(request, words, undo=reverse("checkpoint_promote", args=[before]))
    else:
        messages.success(request, words)
    return redirect("project_detail", project_id=checkpoint.project_id)
