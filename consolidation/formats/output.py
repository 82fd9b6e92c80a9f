"""A file of ours on its way to disk: complete and synced, or gone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class DigestWriter:
    """Counts and digests what passes through to a file; without a file it only counts and digests.

    Args:
        handle: the file, or None.
        digest: False where whoever gets the file digests it anyway.
    """

    def __init__(self, handle: BinaryIO | None, *, digest: bool = True) -> None:
        self._handle = handle
        self._digest = hashlib.sha256() if digest else None
        self.size = 0

    def write(self, piece: bytes | memoryview) -> None:
        """Append one piece."""
        if self._digest is not None:
            self._digest.update(piece)
        self.size += len(piece)
        if self._handle is not None:
            self._handle.write(piece)

    def sha256(self) -> str:
        """The digest of all that was written, in hex; "" without one."""
        return self._digest.hexdigest() if self._digest is not None else ""


@contextmanager
def new_file(path: Path, *, digest: bool = True) -> Iterator[DigestWriter]:
    """A new file that exists afterwards only if the block succeeded, synced to disk.

    Raises:
        FileExistsError: nothing is ever overwritten.
    """
    with path.open("xb") as handle:
        try:
            yield DigestWriter(handle, digest=digest)
            handle.flush()
            os.fsync(handle.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
