"""A stretch of a file, read as if it were a file of its own: a shard in a tar, a member of a zip."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from consolidation.formats import limits

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


@dataclass(frozen=True)
class Region:
    """Bytes [start, start + size) of a file on disk. Nothing is read until somebody asks.

    Attributes:
        path: the file.
        start: the first byte.
        size: how many bytes.
    """

    path: Path
    start: int
    size: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """All of a file."""
        return cls(path, 0, path.stat().st_size)

    def part(self, start: int, size: int) -> Region:
        """Bytes [start, start + size) of this region; the caller has checked that they are in it."""
        if start < 0 or size < 0 or start + size > self.size:
            raise ValueError("outside of the region")
        return Region(self.path, self.start + start, size)

    def open(self) -> io.BufferedReader:
        """A seekable reader that cannot leave the region; close it."""
        return io.BufferedReader(_RegionFile(self), limits.READ_BYTES)

    def read(self, start: int = 0, size: int | None = None) -> bytes:
        """At most `size` bytes from `start` on, fewer only where the region ends or the file was cut."""
        wanted = self.size - start if size is None else min(size, self.size - start)
        with self.path.open("rb") as handle:
            handle.seek(self.start + start)
            return handle.read(max(wanted, 0))

    def chunks(
        self, start: int = 0, size: int | None = None, *, chunk: int = limits.CHUNK
    ) -> Iterator[bytes]:
        """The bytes from `start` on in pieces; shorter in total than `size` only if the file was cut."""
        left = self.size - start if size is None else size
        with self.path.open("rb", buffering=0) as handle:
            handle.seek(self.start + start)
            while left > 0:
                piece = handle.read(min(left, chunk))
                if not piece:
                    return
                left -= len(piece)
                yield piece


class _RegionFile(io.RawIOBase):
    def __init__(self, region: Region) -> None:
        self._region, self._place = region, 0
        self._descriptor = os.open(region.path, os.O_RDONLY | os.O_CLOEXEC)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._region.size}[whence]
        if base + offset < 0:
            raise ValueError("before the beginning")
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._region.size - self._place))
        piece = os.pread(self._descriptor, count, self._region.start + self._place)
        view[: len(piece)] = piece
        self._place += len(piece)
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()
