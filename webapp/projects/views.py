"""Projects: the list, a new one, and the page of one model line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from webapp.accounts.abilities import abilities_of
from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role, workspace_of
from webapp.core.errors import InvalidInput
from webapp.core.undo import done
from webapp.projects import services
from webapp.projects.models import Project
from webapp.projects.page import project_page
from webapp.projects.selectors import project_rows, with_last_cycles

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest, HttpResponse

    from webapp.core.requests import MemberRequest

PAGE_SIZE = 50


def project_list(request: HttpRequest) -> HttpResponse:
    """All projects of the person's workspaces, newest first."""
    page = Paginator(project_rows(request.user), PAGE_SIZE).get_page(request.GET.get("page"))
    return render(
        request, "projects/list.html", {"rows": with_last_cycles(list(page.object_list)), "page": page}
    )


@require_http_methods(["GET", "POST"])
def project_create(request: MemberRequest) -> HttpResponse:
    """One field: the name. `then=upload` goes on to the upload of the first checkpoint."""
    workspace = workspace_of(request.user)
    require_role(request.user, workspace, Role.EDITOR)
    then = "upload" if "upload" in (request.POST.get("then"), request.GET.get("then")) else ""
    context: dict[str, Any] = {"errors": {}, "name": request.POST.get("name", ""), "then": then}
    if request.method == "POST":
        try:
            project = services.project_create(actor=request.user, workspace=workspace, name=context["name"])
        except InvalidInput as error:
            context["errors"]["name"] = error
            return render(request, "projects/new.html", context, status=error.status)
        return redirect("checkpoint_upload" if then else "project_detail", project_id=project.pk)
    return render(request, "projects/new.html", context)


def project_detail(request: HttpRequest, project_id: UUID) -> HttpResponse:
    """The line of checkpoints, what it remembers, what it will do next."""
    project = Project.objects.select_related("workspace", "current").get_visible(request.user, pk=project_id)
    me = abilities_of(request.user, project.workspace)
    every = request.GET.get("stages") == "all"
    context = project_page(project, request.GET.get("page"), all_stages=every)
    return render(request, "projects/detail.html", {"me": me, **context})


@require_POST
def project_rename(request: MemberRequest, project_id: UUID) -> HttpResponse:
    """Another name, from the dialog on the project's page."""
    project = Project.objects.select_related("workspace").get_visible(request.user, pk=project_id)
    before = project.name
    try:
        services.project_rename(actor=request.user, project=project, name=request.POST.get("name", ""))
    except InvalidInput as error:
        messages.error(request, error.message)
    else:
        undo = reverse("project_rename", args=[project.pk])
        done(request, _("The project has its new name."), undo=undo, name=before)
    return redirect("project_detail", project_id=project.pk)
