"""The page that takes a checkpoint in, and the buttons beside a file with bad rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.core.errors import Conflict
from webapp.core.store import room_left
from webapp.projects.models import Project
from webapp.uploads import rest
from webapp.uploads.models import Purpose, Upload
from webapp.uploads.page import family_choices, family_fields, head_choices, local_offered, recent_uploads

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpResponse

    from webapp.core.requests import MemberRequest


@require_safe
def checkpoint_upload(request: MemberRequest, project_id: UUID) -> HttpResponse:
    """The drop zone; the bytes themselves go to the upload application."""
    project = Project.objects.select_related("workspace", "current").get_visible(request.user, pk=project_id)
    require_role(request.user, project.workspace, Role.EDITOR)
    context = {
        "project": project,
        "purpose": Purpose.CHECKPOINT.value,
        "families": family_choices(),
        "fields": family_fields(),
        "heads": head_choices(),
        "local": local_offered(request),
        "recent": recent_uploads(project, Purpose.CHECKPOINT),
        "room": max(room_left(project.workspace), 0),
    }
    return render(request, "uploads/checkpoint.html", context)


@require_POST
def upload_take_rest(request: MemberRequest, upload_id: UUID) -> HttpResponse:
    """The good rows of a file are taken in without the bad ones."""
    upload = _found(request, upload_id)
    try:
        rest.upload_take_rest(actor=request.user, upload=upload)
    except Conflict as error:
        messages.error(request, error.message)
    else:
        messages.success(request, _("“%(file)s” is checked again, without its bad rows.") % {"file": upload})
    return redirect("records_list", project_id=upload.project_id)


@require_POST
def upload_drop_rest(request: MemberRequest, upload_id: UUID) -> HttpResponse:
    """Its bytes are removed now."""
    upload = _found(request, upload_id)
    try:
        rest.upload_drop_rest(actor=request.user, upload=upload)
    except Conflict as error:
        messages.error(request, error.message)
    else:
        messages.success(request, _("“%(file)s” was removed.") % {"file": upload})
    return redirect("records_list", project_id=upload.project_id)


def _found(request: MemberRequest, upload_id: UUID) -> Upload:
    return Upload.objects.select_related("project__workspace").get_visible(request.user, pk=upload_id)
