"""The buttons that put a record set into the trash, bring it back, or delete it for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from webapp.core.errors import Conflict
from webapp.core.store import in_words
from webapp.core.undo import done, pressed_on
from webapp.memories import trash
from webapp.memories.models import RecordSet

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpResponse

    from webapp.core.requests import MemberRequest


@require_POST
def record_set_trash(request: MemberRequest, record_set_id: UUID) -> HttpResponse:
    """Into the trash; the toast takes it back."""
    item = _found(request, record_set_id)
    try:
        trash.record_set_trash(actor=request.user, record_set=item)
    except Conflict as error:
        messages.error(request, error.message)
    else:
        words = _("%(name)s is in the trash for seven days.") % {"name": trash.set_name(item)}
        done(request, words, undo=reverse("record_set_restore", args=[item.pk]), **pressed_on(request))
    return _back(request, item)


@require_POST
def record_set_restore(request: MemberRequest, record_set_id: UUID) -> HttpResponse:
    """Back from the trash; the toast puts it there again."""
    item = _found(request, record_set_id)
    try:
        trash.record_set_restore(actor=request.user, record_set=item)
    except Conflict as error:
        messages.error(request, error.message)
        return redirect("trash")
    words = _("%(name)s is back.") % {"name": trash.set_name(item)}
    done(request, words, undo=reverse("record_set_trash", args=[item.pk]), **pressed_on(request))
    return _back(request, item)


@require_POST
def record_set_delete(request: MemberRequest, record_set_id: UUID) -> HttpResponse:
    """For good, after the dialog asked."""
    item = _found(request, record_set_id)
    try:
        freed = trash.record_set_delete(actor=request.user, record_set=item)
    except Conflict as error:
        messages.error(request, error.message)
    else:
        words = _("%(name)s was deleted: %(size)s are free again.")
        messages.success(request, words % {"name": trash.set_name(item), "size": in_words(freed)})
    return redirect("trash")


def _found(request: MemberRequest, record_set_id: UUID) -> RecordSet:
    rows = RecordSet.everything.select_related("project__workspace", "task")
    return rows.get_visible(request.user, pk=record_set_id)


def _back(request: MemberRequest, item: RecordSet) -> HttpResponse:
    back = pressed_on(request).get("back")
    return redirect(back) if back else redirect("records_list", project_id=item.project_id)
