"""Takes a checkpoint home: the weights alone or the folder that it came as, resumable, in flat memory."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from django.contrib.auth.decorators import login_not_required
from django.views.decorators.http import require_safe

from webapp.checkpoints import links
from webapp.checkpoints.models import Checkpoint
from webapp.checkpoints.parcels import WEIGHTS, parcel_of, parcel_open
from webapp.core.sending import send

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

    from webapp.checkpoints.parcels import Parcel
    from webapp.core.requests import MemberRequest


@require_safe
def checkpoint_download(request: MemberRequest, checkpoint_id: UUID) -> HttpResponseBase:
    """As it goes home: the folder (a zip) when it has companion files, else the safetensors file.

    The ETag and the digest of a safetensors file are the SHA-256 of its bytes, so that it can be checked with
    `sha256sum`. One range is sent (`curl -C -`). What is in the trash can be taken home until it is deleted.
    """
    return _sent(request, checkpoint_id)


@require_safe
def checkpoint_download_weights(request: MemberRequest, checkpoint_id: UUID) -> HttpResponseBase:
    """The safetensors file alone, with its family and config in the metadata."""
    return _sent(request, checkpoint_id, WEIGHTS)


@login_not_required
@require_safe
def checkpoint_link_open(request: HttpRequest, link_id: UUID, signature: str) -> HttpResponseBase:
    """The download behind a link, for a program without a login; 403 when the link is not good any more."""
    checkpoint, parcel = links.checkpoint_link_open(link_id=link_id, signature=signature)
    answer = _answer(request, checkpoint, parcel)
    # The address is its own key: it goes nowhere else, and nobody keeps it.
    answer["Referrer-Policy"] = "no-referrer"
    answer["Cache-Control"] = "private, no-store"
    answer["X-Robots-Tag"] = "noindex, nofollow"
    return answer


def _sent(request: MemberRequest, checkpoint_id: UUID, what: str = "") -> HttpResponseBase:
    rows = Checkpoint.everything.select_related("project")
    checkpoint = rows.get_visible(request.user, pk=checkpoint_id)
    return _answer(request, checkpoint, parcel_of(checkpoint, what))


def _answer(request: HttpRequest, checkpoint: Checkpoint, parcel: Parcel) -> HttpResponseBase:
    segments = parcel_open(parcel, checkpoint)
    return send(request, segments, name=parcel.name, etag=parcel.etag, sha256=parcel.sha256, kind=parcel.kind)
