"""Unpacks a gzip file once, counting the bytes that really come out, whatever it says itself (RFC 1952)."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from consolidation.formats import limits
from consolidation.formats.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consolidation.errors import NocturneInputError
    from consolidation.formats.region import Region


def gunzip(region: Region, path: Path, *, limit_bytes: int) -> None:
    """Write what is packed in `region` to a new file; several members in a row are one content.

    Raises:
        NocturneInputError: `archive.bomb`: more than `limit_bytes`, or far more than such a file holds;
            `archive.inconsistent`: damaged, cut off, or something else follows.
    """
    count = 0
    with path.open("xb") as file:
        for taken, piece in _unpacked(region):
            count += len(piece)
            if count > limit_bytes:
                raise refuse(
                    "archive.bomb",
                    f"The archive unpacks to more than the {limit_bytes:,} bytes that there is room for. It "
                    "was not unpacked any further. Upload the folder as a plain tar, or ask for more room.",
                )
            if count > limits.ARCHIVE_RATIO_FROM and count > limits.ARCHIVE_RATIO * taken:
                raise refuse(
                    "archive.bomb",
                    f"The first {taken:,} bytes of the archive unpacked to {count:,}, over "
                    f"{limits.ARCHIVE_RATIO} times as much. It was not unpacked any further. Pack the folder "
                    "without compression.",
                )
            file.write(piece)


def _unpacked(region: Region) -> Iterator[tuple[int, bytes]]:
    """(bytes taken so far, what came out); checksums are zlib's to compare."""
    taken, engine = 0, zlib.decompressobj(31)
    try:
        for chunk in region.chunks(chunk=limits.READ_BYTES):
            taken += len(chunk)
            rest = chunk
            while rest:
                if engine.eof:
                    engine = zlib.decompressobj(31)
                piece = engine.decompress(rest, limits.CHUNK)
                yield taken, piece
                rest = engine.unused_data if engine.eof else engine.unconsumed_tail
            while not engine.eof and (piece := engine.decompress(b"", limits.CHUNK)):
                yield taken, piece
    except zlib.error:
        raise _damaged("it does not unpack, or something else follows") from None
    if not engine.eof:
        raise _damaged("it was cut off")


def _damaged(what: str) -> NocturneInputError:
    return refuse(
        "archive.inconsistent", f"The gzip archive is damaged: {what}. Pack or copy the file again."
    )
