"""Names in an archive: plain paths below one folder, which every system keeps and tells apart."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.refusal import refuse

_RESERVED: Final = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_PERCENT: Final = re.compile(r"(?i)%(25)*(2e|2f|5c|00)")


def check_path(name: str) -> str:
    """A member's name, when it is a plain path below its folder.

    Raises:
        NocturneInputError: `archive.path_traversal`, `archive.name_conflict`.
    """
    parts = name.removesuffix("/").split("/")
    leaves = (
        name.startswith("/") or "\\" in name or (len(name) > 1 and name[1] == ":")
        or any(part in {"", ".", ".."} for part in parts) or _PERCENT.search(name)
    )  # fmt: skip
    if leaves or not name:
        raise refuse(
            "archive.path_traversal",
            f"The archive's entry “{shorten(name)}” does not name a file below its own folder. Nothing was "
            "unpacked. Pack the folder again.",
        )
    odd = (
        not name.isprintable() or len(name.encode()) > limits.PATH_BYTES or len(parts) > limits.PATH_DEPTH
        or any(part.endswith((".", " ")) or _RESERVED.fullmatch(part) for part in parts)
    )  # fmt: skip
    if odd:
        raise refuse(
            "archive.name_conflict",
            f"The archive's entry “{shorten(name)}” has a name that not every system can keep: too long or "
            "deep, reserved, or with odd characters. Rename it.",
        )
    return name


def check_conflicts(names: Iterable[str]) -> None:
    """Every name once, also for systems that know no capitals or write a letter in another way; and no file
    where another one needs a folder. Folders end in a slash.

    Raises:
        NocturneInputError: `archive.duplicate_name`, `archive.name_conflict`.
    """
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for name in names:
        key = unicodedata.normalize("NFC", name).casefold()
        bare = key.removesuffix("/")
        if seen.get(key) == name:
            raise refuse("archive.duplicate_name", f"The archive has two members named {shorten(name)}.")
        if key in seen:
            raise _alike(seen[key], name)
        seen[key] = name
        above = bare if key.endswith("/") else bare.rpartition("/")[0]
        while above:
            folders.setdefault(above, name)
            above = above.rpartition("/")[0]
    for key, name in seen.items():
        if not key.endswith("/") and key in folders:
            raise _alike(name, folders[key])


def too_many(count: int, most: int) -> NocturneInputError:
    """More members than are read."""
    return refuse(
        "archive.too_many",
        f"The archive has {count:,} members; at most {most:,} are read. Pack only the files that are needed.",
    )


def _alike(one: str, other: str) -> NocturneInputError:
    return refuse(
        "archive.name_conflict",
        f"Members {shorten(one)} and {shorten(other)} have names that some systems cannot tell apart. Rename "
        "one of them.",
    )
