"""The words of tus 1.0 (tus.io): headers of requests, read strictly, and headers of answers.

Of its extensions: creation, creation-with-upload, termination, expiration. A length that is not known yet is
not taken: room is promised before the first byte.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.utils.http import http_date

from webapp.core.errors import NocturneError
from webapp.uploads.selectors import upload_expires

if TYPE_CHECKING:
    from webapp.uploads.body import Scope
    from webapp.uploads.models import Upload

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-with-upload,termination,expiration"
BODY_TYPE: Final = "application/offset+octet-stream"
# What no file is larger than, so that a number fits the database.
MOST_BYTES: Final = 2**60
_NUMBER: Final = re.compile(r"[0-9]{1,19}", re.ASCII)


@dataclass
class Reply:
    """An answer: `body` becomes JSON, None is no body at all."""

    status: int
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)


def capabilities() -> Reply:
    """What OPTIONS tells."""
    return Reply(204, headers={"Tus-Version": VERSION, "Tus-Extension": EXTENSIONS})


def standing(upload: Upload) -> dict[str, str]:
    """Where an upload stands, for the headers of every answer about it."""
    told = {"Upload-Offset": str(upload.received_bytes)}
    if expires := upload_expires(upload):
        told["Upload-Expires"] = http_date(expires.timestamp())
    return told


def header(scope: Scope, name: str) -> str | None:
    """A header's text; None when it is missing. Raises NocturneError (`request.invalid`) when it comes twice:
    two readers of such a request may believe two things."""
    key = name.lower().encode()
    found = [value for given, value in scope["headers"] if given == key]
    if len(found) > 1:
        raise NocturneError("request.invalid", f"The header {name} came more than once. Send it once.")
    return found[0].decode("latin-1") if found else None


def check_version(scope: Scope) -> None:
    """Raises NocturneError: `tus.version` (412)."""
    if header(scope, "Tus-Resumable") != VERSION:
        raise NocturneError(
            "tus.version",
            f"Files are taken by tus {VERSION}. Send the header Tus-Resumable: {VERSION}.",
            status=412,
        )


def announced_length(scope: Scope) -> int:
    """The size of the whole file in bytes.

    Raises:
        NocturneError: `upload.length` (400, 413): not known yet, no number, or larger than any file.
    """
    if header(scope, "Upload-Defer-Length") is not None:
        raise NocturneError(
            "upload.length",
            "The size of the file must be known before its first byte, so that room can be kept for it. Send "
            "Upload-Length instead of Upload-Defer-Length.",
        )
    return _number(scope, "Upload-Length")


def claimed_offset(scope: Scope) -> int:
    """Where the body of a PATCH begins in the file."""
    return _number(scope, "Upload-Offset")


def body_length(scope: Scope, *, most: int) -> int:
    """How many bytes the body will have.

    Raises:
        NocturneError: `upload.type` (415), `upload.length` (400: it does not say; 413: more than `most`).
    """
    if (header(scope, "Content-Type") or "").partition(";")[0].strip().lower() != BODY_TYPE:
        raise NocturneError("upload.type", f"The bytes of a file are sent as {BODY_TYPE}.", status=415)
    text = header(scope, "Content-Length")
    if (
        header(scope, "Transfer-Encoding") is not None
        or text is None
        or not text.isascii()
        or not text.isdigit()
    ):
        raise NocturneError(
            "upload.length", "The request does not say how many bytes it brings. Send Content-Length."
        )
    told = int(text) if len(text) <= 19 else MOST_BYTES
    if told > most:
        raise NocturneError(
            "upload.length",
            f"{most:,} bytes of this file are missing; the request brings {told:,}. Choose the file again.",
            status=413,
        )
    return told


def has_body(scope: Scope) -> bool:
    """Whether a POST brings the first bytes along (creation-with-upload)."""
    return header(scope, "Transfer-Encoding") is not None or (header(scope, "Content-Length") or "0") != "0"


def _number(scope: Scope, name: str) -> int:
    text = header(scope, name)
    if text is None or not _NUMBER.fullmatch(text):
        raise NocturneError("upload.length", f"{name} must be a whole number of bytes.")
    if (number := int(text)) > MOST_BYTES:
        raise NocturneError("upload.length", f"{name} is larger than any file can be.", status=413)
    return number
