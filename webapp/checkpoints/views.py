"""The page of one checkpoint, and the button that makes it current."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.contrib import messages
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from consolidation.families.registry import computable
from webapp.accounts.abilities import abilities_of
from webapp.checkpoints import promotion
from webapp.checkpoints.aliases import NAME_LENGTH, NAME_PATTERN
from webapp.checkpoints.base_pages import base_context
from webapp.checkpoints.models import Checkpoint
from webapp.checkpoints.parcels import parcels_of
from webapp.checkpoints.promotion_plan import project_aliases, promotion_plan, unfinished_cycles
from webapp.checkpoints.selectors import TENSORS_SHOWN, checkpoint_scores, config_rows, lineage, tensor_rows
from webapp.checkpoints.standing import doubt_of
from webapp.checkpoints.trash import checkpoint_needed
from webapp.core.errors import Conflict
from webapp.core.store import room_left
from webapp.core.undo import done
from webapp.uploads.page import local_offered
from webapp.uploads.tokenizer import wants_tokenizer

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest, HttpResponse

    from webapp.core.requests import MemberRequest


def checkpoint_detail(request: HttpRequest, checkpoint_id: UUID) -> HttpResponse:
    """Scores, lineage, aliases, tensors and facts of one version, and what speaks against it."""
    checkpoint = Checkpoint.everything.select_related(
        "project__workspace", "project__current", "parent", "base", "cycle", "created_by", "trashed_by"
    ).get_visible(request.user, pk=checkpoint_id)
    project, scores = checkpoint.project, checkpoint_scores(checkpoint)
    me, names = abilities_of(request.user, project.workspace), project_aliases(project)
    is_current = project.current_id == checkpoint.pk
    here = [alias for alias in names if alias.checkpoint_id == checkpoint.pk]
    plan, open_cycles = None, unfinished_cycles(project) if me.can_edit else []
    if me.can_edit and not is_current and not checkpoint.non_finite and not checkpoint.trashed_at:
        plan = promotion_plan(checkpoint, left=project.current, aliases=names, unfinished=open_cycles)
    # An adapter reads with the words of its base.
    reader = wants_tokenizer(checkpoint) and (checkpoint.base is None or wants_tokenizer(checkpoint.base))
    attach = me.can_edit and not checkpoint.trashed_at and reader
    context = {
        "me": me,
        "checkpoint": checkpoint,
        "project": project,
        "is_current": is_current,
        "not_yet": not computable(checkpoint.family, checkpoint.config),
        "doubt": doubt_of(checkpoint),
        "plan": plan,
        "aliases": here,
        "needed": checkpoint_needed(checkpoint, aliases=here, unfinished=open_cycles),
        "parcels": parcels_of(checkpoint),
        "elsewhere": [alias for alias in names if alias.checkpoint_id != checkpoint.pk],
        "alias_length": NAME_LENGTH,
        "alias_pattern": NAME_PATTERN,
        "scores": scores,
        "scored": any(row["value"] is not None for row in scores),
        "config": config_rows(checkpoint.config),
        "attach": attach,
        "room": max(room_left(project.workspace), 0) if attach else 0,
        "local": attach and local_offered(cast("MemberRequest", request)),
        "tensors": tensor_rows(checkpoint.tensors),
        "tensors_hidden": max(0, len(checkpoint.tensors) - TENSORS_SHOWN),
        **base_context(checkpoint, can_edit=me.can_edit),
        **lineage(checkpoint),
    }
    return render(request, "checkpoints/detail.html", context)


@require_POST
def checkpoint_promote(request: MemberRequest, checkpoint_id: UUID) -> HttpResponse:
    """Make it the project's current checkpoint; this is also the way back to an older one.

    `was` is what the dialog named as current; `aliases` the names that come along, with commas between.
    """
    # Also of one in the trash: an old page or an undo may ask for it, and is told why not.
    checkpoint = Checkpoint.everything.select_related("project__workspace").get_visible(
        request.user, pk=checkpoint_id
    )
    names = [name for name in request.POST.get("aliases", "").split(",") if name]
    try:
        promoted = promotion.checkpoint_promote(
            actor=request.user, checkpoint=checkpoint, was=request.POST.get("was"), aliases=names
        )
    except Conflict as error:
        messages.error(request, error.message)
        return redirect("checkpoint_detail", checkpoint_id=checkpoint.pk)
    words = _("%(version)s is now the current checkpoint.")
    if promoted.aliases:
        words = ngettext(
            "%(version)s is now the current checkpoint, and “%(names)s” came along.",
            "%(version)s is now the current checkpoint, and %(n)d aliases came along: %(names)s.",
            len(promoted.aliases),
        )
    values = {"version": checkpoint, "n": len(promoted.aliases), "names": ", ".join(promoted.aliases)}
    if promoted.left:
        fields = {"was": str(checkpoint.pk), "aliases": ",".join(promoted.aliases)}
        done(request, words % values, undo=reverse("checkpoint_promote", args=[promoted.left]), **fields)
    else:
        messages.success(request, words % values)
    return redirect("project_detail", project_id=checkpoint.project_id)
