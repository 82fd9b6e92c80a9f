"""The workspace's room: who takes it, and the trash that gives it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.abilities import abilities_of
from webapp.accounts.selectors import workspace_of
from webapp.core.store import in_words
from webapp.core.trash import TRASH_DAYS
from webapp.storage import services
from webapp.storage.selectors import biggest_of, meter_of, shares_of, trash_counts, trash_of

if TYPE_CHECKING:
    from django.http import HttpResponse

    from webapp.core.requests import MemberRequest


@require_safe
def storage(request: MemberRequest) -> HttpResponse:
    """The meter, the shares of projects and kinds, and what is largest."""
    workspace = workspace_of(request.user)
    context = {
        "me": abilities_of(request.user, workspace),
        "workspace": workspace,
        "meter": meter_of(workspace),
        "shares": shares_of(workspace),
        "biggest": biggest_of(workspace),
        "days": TRASH_DAYS,
    }
    return render(request, "storage/storage.html", context)


@require_safe
def trash(request: MemberRequest) -> HttpResponse:
    """What can still be restored, how long, and what emptying frees."""
    workspace = workspace_of(request.user)
    versions, sets = trash_counts(workspace)
    context = {
        "me": abilities_of(request.user, workspace),
        "workspace": workspace,
        "meter": meter_of(workspace),
        "items": trash_of(workspace),
        "versions": versions,
        "sets": sets,
        "days": TRASH_DAYS,
    }
    return render(request, "storage/trash.html", context)


@require_POST
def trash_empty(request: MemberRequest) -> HttpResponse:
    """Delete all of it, after the dialog named it."""
    done = services.trash_empty(actor=request.user, workspace=workspace_of(request.user))
    if done.checkpoints or done.record_sets:
        messages.success(
            request, _("The trash is empty: %(size)s are free again.") % {"size": in_words(done.freed)}
        )
    else:
        messages.info(request, _("The trash was empty already."))
    return redirect("trash")
