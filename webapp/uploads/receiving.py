"""The bytes of one upload on their way to disk: allocated first, digested on the way, synced at the end."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from typing import TYPE_CHECKING, Final

from webapp.core.errors import Conflict
from webapp.core.store import disk_full

if TYPE_CHECKING:
    from pathlib import Path

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class PartFile:
    """One part file with one writer: creating the file is the claim, and only one creation can succeed.

    Every method blocks and belongs in a thread; a lock keeps one from pulling the file away under another.

    Args:
        path: the new file.
        size: how many bytes will come.

    Raises:
        Conflict: `upload.busy`: somebody is writing, or has written, this upload.
        NoRoom: `store.disk_full`: the space could not be allocated; no file is left.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size
        self._digest = hashlib.sha256()
        self._lock = threading.RLock()
        self.received = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._descriptor: int | None = os.open(path, flags, 0o600)
        except FileExistsError:
            raise Conflict(
                "upload.busy", "This upload is being received by another request. Start a new one."
            ) from None
        except OSError as error:
            raise self._failed(error) from error
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._descriptor, 0, size)
        except OSError as error:
            self.discard()
            raise self._failed(error) from error

    def write(self, block: bytes | bytearray | memoryview) -> None:
        """Append a block. Raises NoRoom (`store.disk_full`) if the disk refuses it; the file is gone then."""
        with self._lock:
            descriptor = self._open()
            view = memoryview(block)
            try:
                while view:
                    view = view[os.write(descriptor, view) :]
            except OSError as error:
                self.discard()
                raise self._failed(error) from error
            self._digest.update(block)
            self.received += len(block)

    def finish(self) -> str:
        """Sync, close, and give the digest in hex."""
        with self._lock:
            descriptor = self._open()
            try:
                os.fsync(descriptor)
            except OSError as error:
                self.discard()
                raise self._failed(error) from error
            os.close(descriptor)
            self._descriptor = None
            return self._digest.hexdigest()

    def discard(self) -> None:
        """Close and remove; harmless a second time."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
            self._path.unlink(missing_ok=True)

    def _open(self) -> int:
        if self._descriptor is None:
            raise ValueError("the part file is closed")
        return self._descriptor

    def _failed(self, error: OSError) -> Exception:
        return disk_full(self._size) if error.errno in _FULL else error
