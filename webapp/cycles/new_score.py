"""Scoring checkpoints that nobody scored: one, or all of a line, so that its whole past is in the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.checkpoints.models import Checkpoint
from webapp.core.errors import Conflict, InvalidInput
from webapp.core.store import NoRoom
from webapp.cycles import services
from webapp.cycles.choices import Kind
from webapp.cycles.selectors import unscored
from webapp.memories.models import RecordSet
from webapp.projects.models import Project

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpResponse

    from webapp.core.requests import MemberRequest

# So many at a click: a queue of scorings must not hold up a night for hours.
AT_ONCE = 20


@require_POST
def score_create(request: MemberRequest, checkpoint_id: UUID) -> HttpResponse:
    """Score one checkpoint on all proof probes, shown live."""
    checkpoint = Checkpoint.objects.select_related("project__workspace").get_visible(
        request.user, pk=checkpoint_id
    )
    try:
        cycle = services.cycle_start(
            actor=request.user, project=checkpoint.project, kind=Kind.SCORE, recipe={}, base=checkpoint
        )
    except (InvalidInput, Conflict, NoRoom) as error:
        messages.error(request, error.message)
        return redirect("checkpoint_detail", checkpoint_id=checkpoint.pk)
    messages.success(request, _("%(score)s is in line.") % {"score": cycle})
    return redirect("cycle_detail", cycle_id=cycle.pk)


@require_POST
def answers_create(request: MemberRequest, record_set_id: UUID) -> HttpResponse:
    """Have a checkpoint's answers stored beside memories that came without any."""
    item = RecordSet.objects.select_related("project__workspace").get_visible(request.user, pk=record_set_id)
    given = request.POST.get("base", "")
    number = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
    base = item.project.checkpoints.filter(number=number).first()
    try:
        if base is None:
            raise InvalidInput("cycle.no_checkpoint", _("Choose the checkpoint whose answers are stored."))
        cycle = services.cycle_start(
            actor=request.user, project=item.project, kind=Kind.SCORE, recipe={}, base=base, data=item
        )
    except (InvalidInput, Conflict, NoRoom) as error:
        messages.error(request, error.message)
        return redirect("record_set_detail", record_set_id=item.pk)
    messages.success(request, _("%(score)s is in line.") % {"score": cycle})
    return redirect("cycle_detail", cycle_id=cycle.pk)


@require_POST
def scores_create(request: MemberRequest, project_id: UUID) -> HttpResponse:
    """Score the project's unscored checkpoints, at most AT_ONCE of them, in the order of the line."""
    project = Project.objects.select_related("workspace", "current").get_visible(request.user, pk=project_id)
    require_role(request.user, project.workspace, Role.EDITOR)
    made = 0
    problem = ""
    for checkpoint in unscored(project)[:AT_ONCE]:
        try:
            services.cycle_start(
                actor=request.user, project=project, kind=Kind.SCORE, recipe={}, base=checkpoint
            )
        except (InvalidInput, Conflict, NoRoom) as error:
            problem = error.message
            break
        made += 1
    if made:
        words = ngettext("%(n)d checkpoint will be scored.", "%(n)d checkpoints will be scored.", made)
        messages.success(request, words % {"n": made})
    if problem:
        messages.error(request, problem)
    elif not made:
        messages.info(request, _("Every checkpoint is scored."))
    return redirect("project_detail", project_id=project.pk)
