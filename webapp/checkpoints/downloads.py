"""Takes a checkpoint home: the stored bytes as they are, streamed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO, Final
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpResponse, HttpResponseBase, HttpResponseNotModified, StreamingHttpResponse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from webapp.checkpoints.models import Checkpoint
from webapp.core.errors import NocturneError
from webapp.core.store import store_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from webapp.core.requests import MemberRequest

PIECE_BYTES: Final = 2**20


@require_safe
def checkpoint_download(request: MemberRequest, checkpoint_id: UUID) -> HttpResponseBase:
    """The checkpoint's safetensors file, with its family and config in the metadata.

    The ETag is the SHA-256 of the bytes, so a download can be checked with `sha256sum`.
    """
    checkpoint = Checkpoint.objects.select_related("project").get_visible(request.user, pk=checkpoint_id)
    etag = f'"{checkpoint.sha256}"'
    if request.headers.get("If-None-Match") == etag:
        return HttpResponseNotModified(headers={"ETag": etag})
    path = store_path(checkpoint.project.workspace_id, checkpoint.sha256)
    try:
        handle = path.open("rb")
    except FileNotFoundError:
        raise NocturneError(
            "store.missing",
            f"The file of checkpoint {checkpoint} is not in the store. Restore the store from a backup.",
            status=500,
        ) from None
    response: HttpResponse | StreamingHttpResponse
    if request.method == "HEAD":
        handle.close()
        response = HttpResponse(content_type="application/octet-stream")
    else:
        response = StreamingHttpResponse(_pieces(handle), content_type="application/octet-stream")
    name = download_name(checkpoint)
    response["Content-Length"] = str(path.stat().st_size)
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    response["ETag"] = etag
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox"
    response["Cache-Control"] = "private, no-cache"
    return response


async def _pieces(handle: BinaryIO) -> AsyncIterator[bytes]:
    """The file in flat memory. Under ASGI, Django would first collect all that a FileResponse yields."""
    with handle:
        while piece := await sync_to_async(handle.read, thread_sensitive=False)(PIECE_BYTES):
            yield piece


def download_name(checkpoint: Checkpoint) -> str:
    """ "support-bot-v3.safetensors": the project's name in plain letters, and the version."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", checkpoint.project.name).strip("-.") or "checkpoint"
    return f"{plain[:80]}-v{checkpoint.number}.safetensors"
