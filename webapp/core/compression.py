"""Pages, styles and scripts go over the wire compressed: a quarter of the bytes on a slow line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.middleware.gzip import GZipMiddleware

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

# Downloads stay as they are (checkpoints do not shrink), and so do answers whose length matters to a script.
TEXT = frozenset({"text/html", "text/css", "text/javascript", "application/javascript", "image/svg+xml"})


class TextCompression(GZipMiddleware):
    """Django's own compression, with its random padding against guessing secrets, for texts in full only."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The same response, compressed when it is a text that the browser takes compressed."""
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        if response.status_code == 206 or kind not in TEXT:
            return response
        return super().process_response(request, response)
