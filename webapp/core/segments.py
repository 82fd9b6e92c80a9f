"""A body of known length made of pieces of memory and stretches of files, of which any range can be read.

Every file is opened before the first header is sent: from then on it can be read to its end, whoever deletes
it meanwhile.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Stretch:
    """`size` bytes of a file, from byte `offset` on."""

    path: Path
    offset: int
    size: int


def size_of(segments: Sequence[bytes | Stretch]) -> int:
    """How many bytes they make."""
    return sum(len(one) if isinstance(one, bytes) else one.size for one in segments)


class Segments:
    """Open pieces, one after the other; close them when done. A read at a place never moves another's place.

    Args:
        pieces: bytes as they are, or stretches of files.

    Raises:
        FileNotFoundError: a file is missing. EOFError: one is shorter than its stretch. Nothing stays open.
    """

    def __init__(self, pieces: Sequence[bytes | Stretch]) -> None:
        self._pieces = [one for one in pieces if size_of([one])]
        self._starts = [0, *accumulate(size_of([one]) for one in self._pieces)]
        self.size = self._starts[-1]
        self._files: dict[Path, int] = {}
        try:
            for one in self._pieces:
                if isinstance(one, Stretch):
                    self._open(one)
        except BaseException:
            self.close()
            raise

    def read(self, place: int, most: int) -> bytes:
        """At most `most` bytes from `place` on; fewer at the end of a piece, none behind the last.

        Raises:
            EOFError: a file was cut short meanwhile.
        """
        index = bisect_right(self._starts, place) - 1
        if index >= len(self._pieces):
            return b""
        piece, inside = self._pieces[index], place - self._starts[index]
        if isinstance(piece, bytes):
            return piece[inside : inside + most]
        wanted = min(most, piece.size - inside)
        found = os.pread(self._files[piece.path], wanted, piece.offset + inside)
        if not found:
            raise EOFError(piece.path.name)
        return found

    def close(self) -> None:
        """Harmless a second time."""
        while self._files:
            os.close(self._files.popitem()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, one: Stretch) -> None:
        if one.path not in self._files:
            self._files[one.path] = os.open(one.path, _FLAGS)
        if os.fstat(self._files[one.path]).st_size < one.offset + one.size:
            raise EOFError(one.path.name)
