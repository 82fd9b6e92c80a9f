"""Lines of a foreign text file, each within the limit; packed by gzip or not."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from consolidation.formats import limits
from consolidation.formats.refusal import refuse
from consolidation.formats.sniff import HEAD_BYTES, sniff_head

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

GZIP_MAGIC: Final = b"\x1f\x8b"
MOST_LINES: Final = 2 * limits.ROWS


def numbered_lines(handle: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """(number, line); None for a line over the limit, which is skipped without holding it.

    Raises:
        NocturneInputError: `records.rows`: more lines, empty ones counted, than any set needs.
    """
    number = 0
    while line := handle.readline(limits.LINE_BYTES + 1):
        number += 1
        if number > MOST_LINES:
            raise refuse(
                "records.rows",
                f"The file has more than {MOST_LINES:,} lines; a set has at most {limits.ROWS:,} rows. "
                "Split it.",
            )
        if len(line) > limits.LINE_BYTES and not line.endswith(b"\n"):
            while (rest := handle.readline(limits.LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield number, None
        else:
            yield number, line


def open_text(path: Path) -> BinaryIO:
    """A text file for reading, unpacked on the way when it is gzip; close it."""
    handle = path.open("rb", buffering=4 * limits.READ_BYTES)
    if handle.read(2) != GZIP_MAGIC:
        handle.seek(0)
        return handle
    handle.seek(0)
    return io.BufferedReader(GzipStream(handle, path.stat().st_size), limits.READ_BYTES)


def sniff_gzip(path: Path) -> str:
    """The kind of what a gzip file holds, by its first bytes. Raises NocturneInputError."""
    with open_text(path) as handle:
        return sniff_head(handle.read(HEAD_BYTES))


class GzipStream(io.RawIOBase):
    """What a gzip file holds (RFC 1952), unpacked as it is read. What its headers claim is not believed.

    All members count towards one limit.

    Args:
        handle: the packed file, open at its beginning; closed with the stream.
        packed: its size in bytes.

    Raises:
        NocturneInputError: while reading: `gzip.malformed`, `replay.expansion_limit`.
    """

    def __init__(self, handle: BinaryIO, packed: int) -> None:
        self._handle = handle
        self._limit = max(limits.GZIP_RATIO_FROM, limits.GZIP_RATIO * packed)
        self._unpacker = zlib.decompressobj(wbits=31)
        self._waiting = b""
        self._given = 0
        self._members = 1

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        piece = self._more(len(view)) if len(view) else b""
        view[: len(piece)] = piece
        self._given += len(piece)
        if self._given > self._limit:
            raise refuse(
                "replay.expansion_limit",
                f"The file unpacks to more than {self._limit:,} bytes, {limits.GZIP_RATIO} times its own "
                "size. It was not read any further. Upload it unpacked, or in parts.",
            )
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._handle.close()
        super().close()

    def _more(self, count: int) -> bytes:
        """At least one byte, at most `count`; none at the end of the last member."""
        while True:
            if self._unpacker.eof:
                self._waiting = self._unpacker.unused_data or self._handle.read(limits.READ_BYTES)
                if not self._waiting:
                    return b""
                self._members += 1
                if self._members > limits.GZIP_MEMBERS:
                    raise _malformed(f"it consists of more than {limits.GZIP_MEMBERS:,} parts")
                self._unpacker = zlib.decompressobj(wbits=31)
            if not self._waiting:
                self._waiting = self._handle.read(limits.READ_BYTES)
                if not self._waiting:
                    raise _malformed("it ends in the middle")
            try:
                piece = self._unpacker.decompress(self._waiting, count)
            except zlib.error as error:
                raise _malformed("its packing or its checksum is wrong") from error
            self._waiting = self._unpacker.unconsumed_tail
            if piece:
                return piece


def _malformed(what: str) -> Exception:
    return refuse(
        "gzip.malformed",
        f"The gzip file cannot be unpacked: {what}. Nothing was kept; pack or copy the file again.",
    )
