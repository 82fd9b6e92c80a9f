"""A file of ours on its way to disk: complete and synced, or gone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class DigestWriter:
    """Counts and digests what passes through to a file; without a file it only counts and digests."""

    def __init__(self, handle: BinaryIO | None) -> None:
        self._handle = handle
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, piece: bytes | memoryview) -> None:
        """Append one piece."""
        self._digest.update(piece)
        self.size += len(piece)
        if self._handle is not None:
            self._handle.write(piece)

    def sha256(self) -> str:
        """The digest of all that was written, in hex."""
        return self._digest.hexdigest()


@contextmanager
def new_file(path: Path) -> Iterator[DigestWriter]:
    """A new file that exists afterwards only if the block succeeded, synced to disk.

    Raises:
        FileExistsError: nothing is ever overwritten.
    """
    with path.open("xb") as handle:
        try:
            yield DigestWriter(handle)
            handle.flush()
            os.fsync(handle.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
