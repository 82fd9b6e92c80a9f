"""Sends a body of known length: whole, or the one range that was asked for (RFC 9110, section 14).

The bytes are read in a thread, a piece at a time, and the next piece is read when the server has taken the
one before; so a file of any size costs a few megabytes, and the event loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
import base64
import re
from typing import TYPE_CHECKING, Final

from django.http import HttpResponse, HttpResponseNotModified, StreamingHttpResponse
from django.utils.http import content_disposition_header, parse_etags

from webapp.core.errors import NocturneError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from django.http import HttpRequest, HttpResponseBase

    from webapp.core.segments import Segments

PIECE_BYTES: Final = 2**20
_RANGE: Final = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)


class Unsatisfiable(NocturneError):
    """A range behind the end of the file (416)."""

    status = 416

    def __init__(self, size: int) -> None:
        super().__init__(
            "range.unsatisfiable",
            f"The part that was asked for is not in the file, which has {size:,} bytes. If you resume a "
            "download, it is complete or it belongs to another file: compare its SHA-256 with the page.",
            size=size,
        )


def send(
    request: HttpRequest, segments: Segments, *, name: str, etag: str, sha256: str = "", kind: str = ""
) -> HttpResponseBase:
    """The answer to a GET or HEAD; `segments` are closed with it, or here.

    Args:
        name: under which it is saved.
        etag: changes with every byte, without quotes.
        sha256: of the whole body, hex, where it is known.
        kind: the content type; bytes of any kind otherwise.
    """
    headers = _headers(name, etag, sha256)
    quoted = headers["ETag"]
    if {quoted, "*"} & set(parse_etags(request.headers.get("If-None-Match", ""))):
        segments.close()
        return HttpResponseNotModified(headers={"ETag": quoted, "Cache-Control": headers["Cache-Control"]})
    try:
        wanted = _range(request, segments.size, quoted)
    except Unsatisfiable as error:
        segments.close()
        answer = HttpResponse(f"{error.message} [{error.code}]\n", status=416, content_type="text/plain")
        answer["Content-Range"] = f"bytes */{segments.size}"
        answer["X-Content-Type-Options"] = "nosniff"
        return answer
    start, stop = wanted or (0, segments.size)
    response: HttpResponse | StreamingHttpResponse
    if request.method == "HEAD":
        segments.close()
        response = HttpResponse(headers=headers)
    else:
        response = StreamingHttpResponse(_Body(segments, start, stop), headers=headers)
    response["Content-Type"] = kind or "application/octet-stream"
    response["Content-Length"] = str(stop - start)
    if wanted is not None:
        response.status_code = 206
        response["Content-Range"] = f"bytes {start}-{stop - 1}/{segments.size}"
    return response


def _headers(name: str, etag: str, sha256: str) -> Mapping[str, str]:
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": f'"{etag}"',
        "Content-Disposition": content_disposition_header(True, name) or "attachment",
        "Content-Security-Policy": "sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
    }
    if sha256:
        digest = base64.b64encode(bytes.fromhex(sha256)).decode()
        # RFC 9530, and the older name for the programs that know only that one (RFC 3230).
        headers |= {"Repr-Digest": f"sha-256=:{digest}:", "Digest": f"SHA-256={digest}"}
    return headers


def _range(request: HttpRequest, size: int, etag: str) -> tuple[int, int] | None:
    """(first byte, byte behind the last); None for the whole: nothing was asked for, or nothing that we take.

    A range is for GET only. With If-Range it holds only while the file is the same; a date there, or a weak
    tag, proves nothing. Several ranges in one request are answered with the whole, as the RFC allows.

    Raises:
        Unsatisfiable: it begins behind the end.
    """
    text = request.headers.get("Range", "")
    condition = request.headers.get("If-Range")
    if request.method != "GET" or (condition is not None and condition.strip() != etag):
        return None
    found = _RANGE.fullmatch(text.strip())
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        if not int(last) or not size:
            raise Unsatisfiable(size)
        return max(0, size - int(last)), size
    start, stop = int(first), min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable(size)
    return start, stop


class _Body:
    """An asynchronous iterable: under ASGI, Django would first collect all that an ordinary one yields."""

    def __init__(self, segments: Segments, start: int, stop: int) -> None:
        self._segments, self._start, self._stop = segments, start, stop

    async def __aiter__(self) -> AsyncIterator[bytes]:
        place = self._start
        try:
            while place < self._stop:
                most = min(PIECE_BYTES, self._stop - place)
                piece = await asyncio.to_thread(self._segments.read, place, most)
                place += len(piece)
                yield piece
        finally:
            self.close()

    def close(self) -> None:
        """Django calls this too, when the other side went away before the first byte."""
        self._segments.close()
