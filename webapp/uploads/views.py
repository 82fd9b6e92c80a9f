"""The page that takes a checkpoint in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.shortcuts import render
from django.views.decorators.http import require_safe

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.core.store import room_left
from webapp.projects.models import Project
from webapp.uploads.models import Purpose
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
