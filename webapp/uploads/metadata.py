"""Upload-Metadata: what is said about a file before its first byte, in a header of base64, read strictly."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from uuid import UUID

from webapp.core.errors import NocturneError, NotFound
from webapp.uploads.declared import refuse_unknown

METADATA_BYTES: Final = 64 * 1024
JSON_DEPTH: Final = 64
_KEYS: Final = frozenset({"project", "purpose", "filename", "form", "sha256"})
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Announcement:
    """What a person says of a file; `form` is still unchecked, `sha256` is "" when nothing was said."""

    project_id: UUID
    purpose: str
    filename: str
    form: dict[str, Any]
    sha256: str = ""


def read_metadata(text: str | None) -> Announcement:
    """The announcement in an Upload-Metadata header.

    Raises:
        NocturneError: `request.too_large` (413), `request.invalid` (400), `field.read_only` (400).
        NotFound: the project's id is none.
    """
    values = _pairs(text or "")
    if not {"project", "purpose", "filename"} <= set(values):
        _invalid("Upload-Metadata needs project, purpose and filename.")
    told = values.get("sha256", "").lower()
    if told and not _SHA256.fullmatch(told):
        _invalid("The sha256 in Upload-Metadata must be 64 hexadecimal digits.")
    form = _object(values["form"]) if values.get("form") else {}
    try:
        project_id = UUID(values["project"])
    except ValueError:
        raise NotFound from None
    return Announcement(project_id, values["purpose"], values["filename"], form, told)


def _pairs(text: str) -> dict[str, str]:
    if len(text) > METADATA_BYTES:
        raise NocturneError(
            "request.too_large", f"Upload-Metadata has at most {METADATA_BYTES // 1024} KB.", status=413
        )
    found: dict[str, str] = {}
    for pair in text.split(",") if text else ():
        key, _, value = pair.removeprefix(" ").partition(" ")
        refuse_unknown({key: value}, _KEYS)
        if key in found:
            _invalid(f"Upload-Metadata has {key} twice.")
        try:
            found[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError):
            _invalid(f"The {key} in Upload-Metadata must be UTF-8 text in base64.")
    return found


def _object(text: str) -> dict[str, Any]:
    """A JSON object: no key twice, no NaN, at most 64 deep."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_constant)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not _shallow(value):
        _invalid("The form in Upload-Metadata must be one JSON object, no key twice, at most 64 deep.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(name)


def _shallow(value: Any) -> bool:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > JSON_DEPTH:
            return False
        inner = [list(v.values()) if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [v for values in inner for v in values]
    return True


def _invalid(message: str) -> NoReturn:
    raise NocturneError("request.invalid", message)
