"""Takes a checkpoint home."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from django.http import HttpResponse

if TYPE_CHECKING:
    from django.http import HttpRequest


def checkpoint_download(request: HttpRequest, checkpoint_id: UUID) -> HttpResponse:
    """The checkpoint's file."""
    return HttpResponse(status=404)
