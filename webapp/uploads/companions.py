"""The companion files of an uploaded checkpoint (config.json, tokenizer.json), as the checker wrote them.

The child that wrote them read a stranger's file, so its answer is believed only as far as it can be checked:
names that are names, stretches that follow each other, sizes that add up. Checksums are computed here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from consolidation.errors import NocturneInputError
from webapp.checkpoints.choices import Format
from webapp.checkpoints.services import KeptFiles
from webapp.core.checksums import file_crc32
from webapp.core.errors import cut
from webapp.core.store import file_sha256

if TYPE_CHECKING:
    from pathlib import Path

MOST_FILES: Final = 64
MOST_NOTES: Final = 40
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}(\.[A-Za-z0-9_-]{1,20}){1,2}")


def companions_path(copy: Path) -> Path:
    """Where the checker put the companions of `copy`."""
    return copy.with_name(copy.name + ".extras")


def kept_files(copy: Path, info: dict[str, Any]) -> tuple[KeptFiles, int]:
    """What the checker says of format, companions and notes, checked.

    Returns:
        The description, and the size of the companions' file (0: there is none).

    Raises:
        NocturneInputError: `verify.failed`: the answer contradicts the files.
    """
    extras, path = info.get("extras") or [], companions_path(copy)
    if info.get("format") not in Format.values or not isinstance(extras, list) or len(extras) > MOST_FILES:
        raise _contradiction()
    said = info.get("notes") or []
    if not isinstance(said, list) or not all(isinstance(note, str) for note in said):
        raise _contradiction()
    notes = tuple(cut(note, 300) for note in said[:MOST_NOTES])
    if not extras:
        return KeptFiles(format=str(info["format"]), notes=notes), 0
    place, names, clean = 0, set(), []
    for extra in extras:
        if not isinstance(extra, dict) or set(extra) != {"name", "offset", "size"}:
            raise _contradiction()
        name, offset, size = extra["name"], extra["offset"], extra["size"]
        fits = isinstance(name, str) and _NAME.fullmatch(name) and name.lower() not in names
        # True is a number too, for Python.
        if not fits or type(offset) is not int or offset != place or type(size) is not int or size < 0:
            raise _contradiction()
        names.add(name.lower())
        place += size
        clean.append({"name": name, "offset": offset, "size": size})
    if not path.is_file() or path.is_symlink() or path.stat().st_size != place:
        raise _contradiction()
    for extra in clean:
        extra["crc32"] = file_crc32(path, extra["offset"], extra["size"])
    sha256, size = file_sha256(path)
    return KeptFiles(
        format=str(info["format"]),
        extras_sha256=sha256,
        extras=tuple(clean),
        crc32=file_crc32(copy),
        notes=notes,
    ), size


def _contradiction() -> NocturneInputError:
    return NocturneInputError(
        "verify.failed",
        "The file could not be checked: the checker's answer does not fit what it wrote. It was not accepted "
        "and nothing was kept. Upload it again; if this happens twice, tell whoever runs this server.",
    )
