"""The forms of aliases on a checkpoint's page, and the download by name."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from django.contrib import messages
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from webapp.checkpoints import aliases
from webapp.checkpoints.models import Alias, Checkpoint
from webapp.core.errors import NocturneError, NotFound
from webapp.core.undo import done
from webapp.projects.models import Project

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from webapp.core.requests import MemberRequest


def _project(request: HttpRequest, project_id: UUID) -> Project:
    return Project.objects.select_related("workspace").get_visible(request.user, pk=project_id)


@require_POST
def alias_set(request: MemberRequest, project_id: UUID) -> HttpResponse:
    """Point `name` at `checkpoint`; `was` says where the page showed it ("": nowhere yet)."""
    project = _project(request, project_id)
    target = _checkpoint(request, project, request.POST.get("checkpoint", ""))
    name, was = request.POST.get("name", "").strip(), request.POST.get("was")
    known = Alias.objects.filter(project=project, name=name).select_related("checkpoint").first()
    before = (known.checkpoint_id, known.checkpoint.number) if known else None
    wanted = {"1": True, "0": False}.get(request.POST.get("follows", ""))
    try:
        alias = aliases.alias_set(
            actor=request.user, project=project, name=name, checkpoint=target, was=was, follows=wanted
        )
    except NocturneError as error:
        return _said(request, error, target)
    words = _("“%(name)s” points to %(version)s.") % {"name": alias.name, "version": target}
    if before is None:
        undo = reverse("alias_delete", args=[project.pk, alias.name])
        done(request, words, undo=undo, was=str(target.pk))
    elif before[0] != target.pk:
        fields = {"name": alias.name, "checkpoint": str(before[0]), "was": str(target.pk)}
        words = _("“%(name)s” points to %(version)s, no longer to v%(before)d.") % {
            "name": alias.name, "version": target, "before": before[1],
        }  # fmt: skip
        done(request, words, undo=reverse("alias_set", args=[project.pk]), **fields)
    else:
        messages.info(request, words)
    return redirect("checkpoint_detail", checkpoint_id=target.pk)


@require_POST
def alias_delete(request: MemberRequest, project_id: UUID, alias_name: str) -> HttpResponse:
    """Remove the name; the checkpoint stays, and the toast brings the name back."""
    project = _project(request, project_id)
    alias = _alias(project, alias_name)
    try:
        gone = aliases.alias_delete(
            actor=request.user, project=project, name=alias.name, was=request.POST.get("was")
        )
    except NocturneError as error:
        return _said(request, error, alias.checkpoint)
    fields = {
        "name": gone.name,
        "checkpoint": str(gone.checkpoint_id),
        "follows": str(int(gone.follows)),
        "was": "",
    }
    words = _("“%(name)s” is gone; %(version)s stays.") % {"name": gone.name, "version": gone.checkpoint}
    done(request, words, undo=reverse("alias_set", args=[project.pk]), **fields)
    return redirect("checkpoint_detail", checkpoint_id=gone.checkpoint_id)


@require_POST
def alias_follow(request: MemberRequest, project_id: UUID, alias_name: str) -> HttpResponse:
    """Turn following on or off."""
    project = _project(request, project_id)
    follows = request.POST.get("follows") == "1"
    alias = aliases.alias_follow(
        actor=request.user, project=project, name=_alias(project, alias_name).name, follows=follows
    )
    words = (
        _("“%(name)s” moves along with every improved night.")
        if follows
        else _("“%(name)s” stays at %(version)s until somebody moves it.")
    )
    undo = reverse("alias_follow", args=[project.pk, alias.name])
    done(
        request,
        words % {"name": alias.name, "version": alias.checkpoint},
        undo=undo,
        follows="0" if follows else "1",
    )
    return redirect("checkpoint_detail", checkpoint_id=alias.checkpoint_id)


@require_safe
def alias_download(request: MemberRequest, project_id: UUID, alias_name: str) -> HttpResponse:
    """On to the download of the checkpoint that the name points to now: an address that scripts can keep."""
    alias = _alias(_project(request, project_id), alias_name)
    answer = redirect("checkpoint_download", checkpoint_id=alias.checkpoint_id)
    answer["Cache-Control"] = "private, no-store"
    return answer


def _alias(project: Project, name: str) -> Alias:
    alias = Alias.objects.filter(project=project, name=name).select_related("checkpoint").first()
    if alias is None:
        raise NotFound
    return alias


def _checkpoint(request: MemberRequest, project: Project, given: str) -> Checkpoint:
    try:
        key = UUID(given)
    except ValueError:
        raise NotFound from None
    return Checkpoint.objects.get_visible(request.user, pk=key, project=project)


def _said(request: MemberRequest, error: NocturneError, at: Checkpoint) -> HttpResponse:
    """What was asked for cannot be: its sentence, on the page that asked. A missing role has its own page."""
    if error.status not in {409, 422}:
        raise error
    messages.error(request, error.message)
    return redirect("checkpoint_detail", checkpoint_id=at.pk)
