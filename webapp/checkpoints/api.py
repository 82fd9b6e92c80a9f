"""Versions, their trash, aliases and promotion over HTTP."""

from __future__ import annotations

import uuid
from typing import Any, Literal

from django.http import HttpRequest
from django.urls import reverse
from ninja import Router, Schema

from webapp.checkpoints import aliases, bases, links, promotion, trash
from webapp.checkpoints.models import Alias, Checkpoint
from webapp.checkpoints.parcels import FOLDER, WEIGHTS, parcel_of, parcels_of
from webapp.checkpoints.promotion_plan import project_aliases
from webapp.core.errors import InvalidInput
from webapp.projects.models import Project

router = Router(tags=["checkpoints"])
PARCEL_PAGES = {FOLDER: "checkpoint_download", WEIGHTS: "checkpoint_download_weights"}


def _named(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"id": str(checkpoint.pk), "number": checkpoint.number}


def _alias_state(alias: Alias) -> dict[str, Any]:
    return {
        "name": alias.name,
        "checkpoint": _named(alias.checkpoint),
        "follows": alias.follows,
        "moved_at": alias.moved_at.isoformat(),
        "cycle": str(alias.cycle_id) if alias.cycle_id else None,
    }


def _project(request: HttpRequest, project_id: uuid.UUID) -> Project:
    return Project.objects.select_related("workspace").get_visible(request.user, pk=project_id)


class PromoteIn(Schema):
    """`was`: the id of the checkpoint that you take for the current one, "" for none; leave it out to promote
    whatever is. `aliases`: true brings those along that follow and point to the version that is left, a list
    only the ones of these names."""

    was: str | None = None
    aliases: bool | list[str] = False


@router.post("/checkpoints/{uuid:checkpoint_id}/promote", operation_id="checkpoint_promote")
def checkpoint_promote(request: HttpRequest, checkpoint_id: uuid.UUID, body: PromoteIn) -> dict[str, Any]:
    """Make it the project's current checkpoint, or roll back to it. 409 when it is that already, when another
    one is current than `was`, when it is in the trash, or when nothing can be computed with it."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    checkpoint = _any(request, checkpoint_id)
    done = promotion.checkpoint_promote(
        actor=request.user, checkpoint=checkpoint, was=body.was, aliases=body.aliases
    )
    return {
        "current": _named(checkpoint),
        "before": str(done.left) if done.left else None,
        "aliases": done.aliases,
    }


def _any(request: HttpRequest, checkpoint_id: uuid.UUID) -> Checkpoint:
    """One that may be in the trash."""
    rows = Checkpoint.everything.select_related("project__workspace")
    return rows.get_visible(request.user, pk=checkpoint_id)


def _state(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        **_named(checkpoint),
        "project": str(checkpoint.project_id),
        "parent": str(checkpoint.parent_id) if checkpoint.parent_id else None,
        "base": str(checkpoint.base_id) if checkpoint.base_id else None,
        "origin": checkpoint.origin,
        "standing": checkpoint.standing,
        "format": checkpoint.format,
        "family": checkpoint.family,
        "parameters": checkpoint.parameters,
        "sha256": checkpoint.sha256,
        "size_bytes": checkpoint.size_bytes,
        "trashed_at": checkpoint.trashed_at.isoformat() if checkpoint.trashed_at else None,
        "deleted_at": checkpoint.purged_at.isoformat() if checkpoint.purged_at else None,
        "downloads": [
            {
                "what": parcel.what,
                "name": parcel.name,
                "size_bytes": parcel.size_bytes,
                "url": reverse(PARCEL_PAGES[parcel.what], args=[checkpoint.pk]),
            }
            for parcel in parcels_of(checkpoint)
        ],
    }


@router.get("/checkpoints/{uuid:checkpoint_id}", operation_id="checkpoint_read")
def checkpoint_read(request: HttpRequest, checkpoint_id: uuid.UUID) -> dict[str, Any]:
    """One version: facts, whether it is in the trash or deleted, and what can be downloaded of it: the folder
    that it came as (a zip), first if there is one, and the weights alone. Downloads take ranges."""
    return _state(_any(request, checkpoint_id))


class BaseIn(Schema):
    """`base`: the id of the checkpoint that the adapter was trained on."""

    base: uuid.UUID | None = None


@router.put("/checkpoints/{uuid:checkpoint_id}/base", operation_id="checkpoint_base_set")
def checkpoint_base_set(request: HttpRequest, checkpoint_id: uuid.UUID, body: BaseIn) -> dict[str, Any]:
    """Say which checkpoint of its project a LoRA adapter lies over. 422 `peft.base` when it does not fit, 409
    `peft.base_used` once scores, versions or cycles rest on the base that it has."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    checkpoint = _any(request, checkpoint_id)
    if body.base is None:
        raise InvalidInput("peft.base", "Say which checkpoint the adapter lies over.")
    base = Checkpoint.objects.get_visible(request.user, pk=body.base, project=checkpoint.project_id)
    return _state(bases.checkpoint_base_set(actor=request.user, checkpoint=checkpoint, base=base))


class LinkIn(Schema):
    """`what`: "folder" or "weights"; "" as it goes home."""

    what: Literal["", "folder", "weights"] = ""


@router.post("/checkpoints/{uuid:checkpoint_id}/link", operation_id="checkpoint_link")
def checkpoint_link(request: HttpRequest, checkpoint_id: uuid.UUID, body: LinkIn) -> dict[str, Any]:
    """A link that downloads it without a login, for five minutes or until you log out, change the password or
    leave the workspace. It takes ranges, so `curl -C -` resumes with a new link too."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    checkpoint = _any(request, checkpoint_id)
    link, signature = links.checkpoint_link(
        actor=request.user,
        checkpoint=checkpoint,
        session_key=request.session.session_key or "",
        what=body.what,
    )
    parcel = parcel_of(checkpoint, link.what)
    path = reverse("checkpoint_link_open", args=[link.pk, signature])
    return {
        "url": request.build_absolute_uri(path),
        "expires_at": link.expires_at.isoformat(),
        "what": parcel.what,
        "name": parcel.name,
        "size_bytes": parcel.size_bytes,
    }


@router.post("/checkpoints/{uuid:checkpoint_id}/trash", operation_id="checkpoint_trash")
def checkpoint_trash(request: HttpRequest, checkpoint_id: uuid.UUID) -> dict[str, Any]:
    """Put it into the trash for seven days. 409 when it is current, an alias points to it, or a cycle that
    has not ended works on it."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    return _state(trash.checkpoint_trash(actor=request.user, checkpoint=_any(request, checkpoint_id)))


@router.post("/checkpoints/{uuid:checkpoint_id}/restore", operation_id="checkpoint_restore")
def checkpoint_restore(request: HttpRequest, checkpoint_id: uuid.UUID) -> dict[str, Any]:
    """Bring it back from the trash."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    return _state(trash.checkpoint_restore(actor=request.user, checkpoint=_any(request, checkpoint_id)))


@router.delete("/checkpoints/{uuid:checkpoint_id}", operation_id="checkpoint_delete")
def checkpoint_delete(request: HttpRequest, checkpoint_id: uuid.UUID) -> dict[str, Any]:
    """Delete for good what is in the trash; `freed`: the bytes that the workspace has more."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    return {"freed": trash.checkpoint_delete(actor=request.user, checkpoint=_any(request, checkpoint_id))}


@router.get("/projects/{uuid:project_id}/aliases", operation_id="aliases_list")
def aliases_list(request: HttpRequest, project_id: uuid.UUID) -> dict[str, Any]:
    """The names of the project and where they point: {"items": [...]}."""
    return {"items": [_alias_state(alias) for alias in project_aliases(_project(request, project_id))]}


class AliasIn(Schema):
    """`checkpoint`: where it points from now on. `was`: where you saw it ("": there was none); leave it out
    to move it wherever it points. `follows`: whether it moves along with improved nights."""

    checkpoint: uuid.UUID | None = None
    was: str | None = None
    follows: bool | None = None


@router.put("/projects/{uuid:project_id}/aliases/{alias_name}", operation_id="alias_set")
def alias_set(request: HttpRequest, project_id: uuid.UUID, alias_name: str, body: AliasIn) -> dict[str, Any]:
    """Let a name point to a checkpoint. 409 `conflict.alias_moved` when it points elsewhere than `was`."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    project = _project(request, project_id)
    if body.checkpoint is None:
        raise InvalidInput("alias.checkpoint", "Say to which checkpoint the alias should point.")
    alias = aliases.alias_set(
        actor=request.user,
        project=project,
        name=alias_name,
        checkpoint=Checkpoint.objects.get_visible(request.user, pk=body.checkpoint),
        was=body.was,
        follows=body.follows,
    )
    return _alias_state(alias)


@router.delete("/projects/{uuid:project_id}/aliases/{alias_name}", operation_id="alias_delete")
def alias_delete(
    request: HttpRequest, project_id: uuid.UUID, alias_name: str, was: str | None = None
) -> dict[str, Any]:
    """Remove a name; what it was is the answer, and putting that brings it back."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    project = _project(request, project_id)
    return _alias_state(aliases.alias_delete(actor=request.user, project=project, name=alias_name, was=was))


class FollowIn(Schema):
    """Whether it moves along with improved nights."""

    follows: bool = True


@router.post("/projects/{uuid:project_id}/aliases/{alias_name}/follow", operation_id="alias_follow")
def alias_follow(
    request: HttpRequest, project_id: uuid.UUID, alias_name: str, body: FollowIn
) -> dict[str, Any]:
    """Turn following on or off."""
    assert request.user.is_authenticated  # noqa: S101 - the API lets nobody else in
    project = _project(request, project_id)
    alias = aliases.alias_follow(actor=request.user, project=project, name=alias_name, follows=body.follows)
    return _alias_state(alias)
