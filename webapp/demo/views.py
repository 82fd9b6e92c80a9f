"""The button "Try the demo model"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from webapp.accounts.selectors import workspace_of
from webapp.demo import services

if TYPE_CHECKING:
    from django.http import HttpResponse

    from webapp.core.requests import MemberRequest


@require_POST
def demo_start(request: MemberRequest) -> HttpResponse:
    """Make the demo project, start its wakes, and show it."""
    project = services.demo_start(actor=request.user, workspace=workspace_of(request.user))
    return redirect("project_detail", project_id=project.pk)
