"""CRC-32 of stretches of files: what a zip wants to know of its members."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

CHUNK: Final = 4 * 2**20


def file_crc32(path: Path, start: int = 0, size: int | None = None) -> int:
    """The CRC-32 (as in zip files) of `size` bytes from `start` on, or of all the rest; in flat memory.

    Raises:
        EOFError: the file is shorter.
    """
    value = 0
    with path.open("rb") as handle:
        left = path.stat().st_size - start if size is None else size
        handle.seek(start)
        while left > 0:
            piece = handle.read(min(left, CHUNK))
            if not piece:
                raise EOFError(path.name)
            value = zlib.crc32(piece, value)
            left -= len(piece)
    return value
