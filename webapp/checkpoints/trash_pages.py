"""The buttons that put a version into the trash, bring it back, or delete it for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from webapp.checkpoints import trash
from webapp.checkpoints.models import Checkpoint
from webapp.core.errors import Conflict
from webapp.core.store import in_words
from webapp.core.undo import done, pressed_on

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpResponse

    from webapp.core.requests import MemberRequest


@require_POST
def checkpoint_trash(request: MemberRequest, checkpoint_id: UUID) -> HttpResponse:
    """Into the trash; the toast takes it back."""
    checkpoint = _found(request, checkpoint_id)
    try:
        trash.checkpoint_trash(actor=request.user, checkpoint=checkpoint)
    except Conflict as error:
        messages.error(request, error.message)
    else:
        words = _("%(version)s is in the trash for seven days.") % {"version": checkpoint}
        done(request, words, undo=reverse("checkpoint_restore", args=[checkpoint.pk]), **pressed_on(request))
    return _back(request, checkpoint)


@require_POST
def checkpoint_restore(request: MemberRequest, checkpoint_id: UUID) -> HttpResponse:
    """Back from the trash; the toast puts it there again."""
    checkpoint = _found(request, checkpoint_id)
    try:
        trash.checkpoint_restore(actor=request.user, checkpoint=checkpoint)
    except Conflict as error:
        messages.error(request, error.message)
    else:
        words = _("%(version)s is back.") % {"version": checkpoint}
        done(request, words, undo=reverse("checkpoint_trash", args=[checkpoint.pk]), **pressed_on(request))
    return _back(request, checkpoint)


@require_POST
def checkpoint_delete(request: MemberRequest, checkpoint_id: UUID) -> HttpResponse:
    """For good, after the dialog asked."""
    checkpoint = _found(request, checkpoint_id)
    try:
        freed = trash.checkpoint_delete(actor=request.user, checkpoint=checkpoint)
    except Conflict as error:
        messages.error(request, error.message)
        return redirect("checkpoint_detail", checkpoint_id=checkpoint.pk)
    words = _("%(version)s was deleted: %(size)s are free again.")
    messages.success(request, words % {"version": checkpoint, "size": in_words(freed)})
    return redirect("trash")


def _found(request: MemberRequest, checkpoint_id: UUID) -> Checkpoint:
    rows = Checkpoint.everything.select_related("project__workspace")
    return rows.get_visible(request.user, pk=checkpoint_id)


def _back(request: MemberRequest, checkpoint: Checkpoint) -> HttpResponse:
    back = pressed_on(request).get("back")
    return redirect(back) if back else redirect("checkpoint_detail", checkpoint_id=checkpoint.pk)
