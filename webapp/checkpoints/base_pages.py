"""The form on an adapter's page that says which checkpoint it lies over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import messages
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from webapp.checkpoints import bases
from webapp.checkpoints.models import Checkpoint
from webapp.core.errors import Conflict, InvalidInput, NotFound

if TYPE_CHECKING:
    from django.http import HttpResponse

    from webapp.core.requests import MemberRequest


def base_context(checkpoint: Checkpoint, *, can_edit: bool) -> dict[str, Any]:
    """What the card of an adapter shows: `adapter`, the versions that it fits (`fitting`, for who may choose
    among them), the one that is `likely`, which was current when it came, and why there is none (`no_base`).
    Nothing for a whole model."""
    if checkpoint.family != bases.ADAPTER:
        return {}
    if checkpoint.trashed_at or (checkpoint.base_id and (not can_edit or bases.base_used(checkpoint))):
        return {"adapter": True}
    fitting, why = bases.bases_for(checkpoint.project_id, checkpoint.tensors)
    likely = checkpoint.base_id or checkpoint.parent_id
    return {"adapter": True, "fitting": fitting if can_edit else [], "likely": likely, "no_base": why}


@require_POST
def checkpoint_base(request: MemberRequest, checkpoint_id: UUID) -> HttpResponse:
    """Lay the adapter over the checkpoint whose id is `base`."""
    checkpoint = Checkpoint.everything.select_related("project__workspace").get_visible(
        request.user, pk=checkpoint_id
    )
    try:
        key = UUID(request.POST.get("base", ""))
    except ValueError:
        raise NotFound from None
    base = Checkpoint.objects.get_visible(request.user, pk=key, project=checkpoint.project_id)
    try:
        bases.checkpoint_base_set(actor=request.user, checkpoint=checkpoint, base=base)
    except (Conflict, InvalidInput) as error:
        messages.error(request, error.message)
    else:
        words = _("%(version)s lies over %(base)s now: it can be trained, scored and put to sleep.")
        messages.success(request, words % {"version": checkpoint, "base": base})
    return redirect("checkpoint_detail", checkpoint_id=checkpoint.pk)
