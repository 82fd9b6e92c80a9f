"""The bytes of one upload on their way to disk: allocated first, digested on the way, synced before anybody
is told how far they are.

A digest cannot be kept on disk, so it goes on only while one process receives every byte, over any number of
requests. Otherwise the whole file is read once more at its end.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from webapp.core.errors import Conflict, NocturneError
from webapp.core.store import disk_full

if TYPE_CHECKING:
    from pathlib import Path

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_READ_BYTES: Final = 4 * 2**20
_DIGESTS_KEPT: Final = 256
# By part file: how far it is digested, and the digest. A few hundred bytes each.
_digests: Final[OrderedDict[str, tuple[int, hashlib._Hash]]] = OrderedDict()
_guard: Final = threading.Lock()


class Lost(NocturneError):
    """Bytes that were received are not on the disk any more (410)."""

    status = 410

    def __init__(self) -> None:
        super().__init__(
            "upload.lost", "The received bytes are gone from the server's disk. Upload the file again."
        )


class PartFile:
    """One part file with one writer: the lock on the open file is the claim, in this process or any other,
    and it ends with the process.

    Every method blocks and belongs in a thread, one at a time; a lock keeps a second one out.

    Args:
        path: the file; made if it is not there and the first byte is to come.
        size: how many bytes it will have.
        offset: how many of them are there already.

    Raises:
        Conflict: `upload.busy`: somebody else is writing.
        Lost: `upload.lost`: a file that should be there is not.
    """

    def __init__(self, path: Path, size: int, offset: int) -> None:
        self._path, self._size, self.offset = path, size, offset
        self._lock = threading.RLock()
        self._digest: hashlib._Hash | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if offset else os.O_CREAT)
        try:
            self._descriptor: int | None = os.open(path, flags, 0o600)
        except FileNotFoundError:
            raise Lost from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise
            raise Conflict(
                "upload.busy",
                "This upload is being received by another request. Wait until that has ended, then go on.",
            ) from None

    def prepare(self) -> None:
        """Allocate all of it before the first byte, or look whether what came before is still there. To be
        called when it is certain that `offset` is right, which only holds under the lock.

        Raises:
            NoRoom: `store.disk_full`: the space could not be allocated; the file is gone then.
            Lost: `upload.lost`.
        """
        with self._lock:
            descriptor = self._open()
            if self.offset:
                if os.fstat(descriptor).st_size != self._size:
                    raise Lost
                self._digest = _digest_until(str(self._path), self.offset)
                return
            self._digest = hashlib.sha256()
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(descriptor, 0, self._size)
                else:
                    os.truncate(descriptor, self._size)
            except OSError as error:
                self.discard()
                raise self._failed(error) from error

    def write(self, block: bytes | bytearray | memoryview) -> None:
        """Append a block. Raises NoRoom (`store.disk_full`) if the disk refuses it; the file is gone then."""
        with self._lock:
            descriptor, place = self._open(), self.offset
            view = memoryview(block)
            try:
                while view:
                    written = os.pwrite(descriptor, view, place)
                    view, place = view[written:], place + written
            except OSError as error:
                self.discard()
                raise self._failed(error) from error
            if self._digest is not None:
                self._digest.update(block)
            self.offset = place

    def copy(self, source: int, most: int) -> int:
        """Append up to `most` bytes of another open file from the same place on; by reference, where the disk
        can do that. How many there were; 0: the other file ends here."""
        with self._lock:
            descriptor, place = self._open(), self.offset
            try:
                copied = os.copy_file_range(source, descriptor, most, place, place)
            except (AttributeError, OSError):
                # Another disk, or a system without it.
                self.write(block := os.pread(source, min(most, _READ_BYTES), place))
                return len(block)
            for start in range(place, place + copied, _READ_BYTES):
                if self._digest is not None:
                    self._digest.update(os.pread(descriptor, min(_READ_BYTES, place + copied - start), start))
            self.offset = place + copied
            return copied

    def sync(self) -> int:
        """Make sure that all written bytes outlive a crash; how far they reach."""
        with self._lock:
            try:
                os.fsync(self._open())
            except OSError as error:
                self.discard()
                raise self._failed(error) from error
            return self.offset

    def sha256(self) -> str:
        """The digest of the whole file, hex, in flat memory; call it when all bytes are there."""
        with self._lock:
            if self._digest is None:
                self._digest, place = hashlib.sha256(), 0
                while piece := os.pread(self._open(), _READ_BYTES, place):
                    self._digest.update(piece)
                    place += len(piece)
            return self._digest.hexdigest()

    def close(self, *, go_on: bool = False) -> None:
        """Give up the claim; harmless a second time.

        Args:
            go_on: what was written counts, and the next request may continue the digest.
        """
        with self._lock:
            if self._descriptor is None:
                return
            if go_on and self._digest is not None:
                _remember(str(self._path), self.offset, self._digest)
            os.close(self._descriptor)
            self._descriptor = None

    def discard(self) -> None:
        """Close and remove; harmless a second time."""
        with self._lock:
            self._path.unlink(missing_ok=True)
            self.close()

    def _open(self) -> int:
        if self._descriptor is None:
            raise ValueError("the part file is closed")
        return self._descriptor

    def _failed(self, error: OSError) -> Exception:
        return disk_full(self._size) if error.errno in _FULL else error


def _remember(path: str, offset: int, digest: hashlib._Hash) -> None:
    with _guard:
        _digests[path] = offset, digest
        _digests.move_to_end(path)
        while len(_digests) > _DIGESTS_KEPT:
            _digests.popitem(last=False)


def _digest_until(path: str, offset: int) -> hashlib._Hash | None:
    """The digest of exactly the first `offset` bytes, if this process received them all."""
    with _guard:
        reached, digest = _digests.pop(path, (0, None))
    return digest if reached == offset else None
