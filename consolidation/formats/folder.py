"""A folder that came as a zip or a tar: its files by clean paths, each unpacked only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from consolidation.errors import shorten
from consolidation.formats import limits
from consolidation.formats.gunzip import gunzip
from consolidation.formats.refusal import refuse
from consolidation.formats.region import Region
from consolidation.formats.sniff import sniff
from consolidation.formats.tar_reader import read_tar
from consolidation.formats.zip_reader import STORED, Member, read_zip

if TYPE_CHECKING:
    from collections.abc import Iterable

KINDS: Final = frozenset({"zip", "tar", "gzip"})
_ARCHIVES: Final = frozenset({"zip", "tar", "gzip", "7z", "rar", "xz", "zstd", "bzip2"})
_PACKED_NAMES: Final = (
    ".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".xz", ".zst", ".bz2",
)  # fmt: skip


class Folder:
    """The files of an archive.

    Args:
        files: by path, with slashes; a stretch of the archive, or a member of a zip.
        spool: a prefix in a folder that may be written.
        limit_bytes: the most that unpacking may write.
        stack: removes what was unpacked.
        whole: whether a folder around all files stays in their paths.
    """

    def __init__(
        self,
        files: Mapping[str, Region | Member],
        *,
        spool: Path,
        limit_bytes: int,
        stack: ExitStack,
        whole: bool = False,
    ) -> None:
        clean = _without_litter(files)
        self._files = clean if whole else _without_top(clean)
        self._spool, self._left, self._stack = spool, limit_bytes, stack
        self._open: dict[str, Region] = {}
        self._count = 0

    def __contains__(self, path: object) -> bool:
        return path in self._files

    def paths(self) -> list[str]:
        """Every file, in order of the names."""
        return sorted(self._files)

    def top(self) -> list[str]:
        """The files that lie in the folder itself."""
        return [path for path in self.paths() if "/" not in path]

    def size(self, path: str) -> int:
        """Bytes of a file, unpacked."""
        return self._files[path].size

    def cheap(self, paths: Iterable[str]) -> bool:
        """Whether these can be read without being unpacked or compared with a checksum first."""
        return all(isinstance(self._files[path], Region) for path in paths)

    def read(self, path: str, most: int) -> bytes:
        """All of a small file; nothing is written. Raises NocturneInputError (`archive.*`)."""
        found = self._files[path]
        if isinstance(found, Member):
            return found.read(most)
        if found.size > most:
            raise refuse(
                "archive.bomb",
                f"Member {shorten(path)} has {found.size:,} bytes; at most {most:,} are read of such a file.",
            )
        return found.read()

    def region(self, path: str) -> Region:
        """A file as a stretch of bytes on disk. A zip's checksum is compared, once.

        Raises:
            NocturneInputError: `archive.*`.
        """
        found = self._files[path]
        if isinstance(found, Region):
            return found
        if path not in self._open:
            self._open[path] = self._stored(found) if found.method == STORED else self._unpacked(found)
        return self._open[path]

    def prefix(self) -> Path:
        """A name for further files beside the spool, used by nobody else."""
        self._count += 1
        return self._spool.with_name(f"{self._spool.name}.folder-{self._count}")

    @property
    def left(self) -> int:
        """Bytes that unpacking may still write."""
        return self._left

    def first_archive(self) -> str:
        """An archive inside of the archive, judged by its name and its first bytes; "" for none."""
        for path in self.paths():
            if path.lower().endswith(_PACKED_NAMES) and self._sniffed(path) in _ARCHIVES:
                return path
        return ""

    def _sniffed(self, path: str) -> str:
        found = self._files[path]
        if isinstance(found, Region):
            return sniff(found)
        # Of a packed member the name must do; nothing is unpacked to find out.
        return sniff(found.packed) if found.method == STORED else "zip"

    def _stored(self, member: Member) -> Region:
        for _ in member.chunks():
            pass
        return member.packed

    def _unpacked(self, member: Member) -> Region:
        if member.size > self._left:
            raise refuse(
                "archive.bomb",
                f"Member {shorten(member.name)} unpacks to {member.size:,} bytes; {self._left:,} are left. "
                "Nothing was kept. Pack the folder without compression, or ask for more room.",
            )
        self._left -= member.size
        path = self.prefix()
        self._stack.callback(path.unlink, missing_ok=True)
        with path.open("xb") as file:
            for piece in member.chunks():
                file.write(piece)
        return Region.of(path)


def open_folder(
    region: Region,
    kind: str,
    *,
    filename: str,
    spool: Path,
    limit_bytes: int,
    stack: ExitStack,
    most: int = limits.FOLDER_MEMBERS,
    whole: bool = False,
) -> Folder:
    """The folder in an archive. One folder around all files is looked through, unless `whole`.

    Args:
        region: the archive.
        kind: one of KINDS, as `sniff` says.
        filename: the person's name for it.
        spool: a prefix in a folder that may be written, for what has to be unpacked.
        limit_bytes: the most that unpacking may write.
        stack: removes what was unpacked.
        most: files that it may have.

    Raises:
        NocturneInputError: `archive.*`, `container.unsupported`.
    """
    files: Mapping[str, Region | Member]
    if kind == "zip":
        files = read_zip(region, most=most)
    elif kind == "tar":
        files = read_tar(region, most=most)
    else:
        path = spool.with_name(f"{spool.name}.tar")
        stack.callback(path.unlink, missing_ok=True)
        gunzip(region, path, limit_bytes=limit_bytes)
        inner = Region.of(path)
        _check_inner(sniff(inner), filename)
        limit_bytes -= inner.size
        files = read_tar(inner, most=most)
    return Folder(files, spool=spool, limit_bytes=limit_bytes, stack=stack, whole=whole)


def _check_inner(kind: str, filename: str) -> None:
    if kind in _ARCHIVES - {"tar"}:
        raise refuse(
            "archive.nested",
            f"{shorten(filename)} is an archive in an archive ({kind} in gzip). It was not unpacked any "
            "further. Pack the folder once, as a zip or a tar.",
        )
    if kind != "tar":
        raise refuse(
            "container.unsupported",
            f"{shorten(filename)} is one packed file (gzip), not a folder. Unpack it and choose the file "
            "inside.",
        )


def _without_litter(files: Mapping[str, Region | Member]) -> dict[str, Region | Member]:
    """Without what a Mac puts beside every file of an archive."""
    return {
        path: file
        for path, file in files.items()
        if not path.startswith("__MACOSX/")
        and not path.rpartition("/")[2].startswith("._")
        and path.rpartition("/")[2] != ".DS_Store"
    }


def _without_top(files: dict[str, Region | Member]) -> dict[str, Region | Member]:
    """Paths below the folder that holds everything, where there is one."""
    while files and (top := _top(files)):
        files = {path.removeprefix(top): file for path, file in files.items()}
    return files


def _top(paths: Iterable[str]) -> str:
    tops = {path.partition("/")[0] + "/" if "/" in path else "" for path in paths}
    return tops.pop() if len(tops) == 1 else ""
