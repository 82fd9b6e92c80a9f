"""Arrays from an npz archive, read by hand.

Nothing is ever unpickled, and a header is believed only after its claim was compared with the bytes that are
there (numpy.lib.format, versions 1 and 2).
"""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, Self

import numpy as np

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.refusal import refuse

if TYPE_CHECKING:
    from numpy.typing import NDArray

IN_MEMORY_BYTES: Final = 512 * 2**20

_FIELD: Final = (
    r"""\s*['"](?:descr|fortran_order|shape)['"]\s*:\s*(?:'[^'\\]*'|"[^"\\]*"|True|False|\([\d,\s]*\))\s*"""
)
_HEADER: Final = re.compile(rf"\{{{_FIELD},{_FIELD},{_FIELD},?\s*\}}\s*")
_ITEM: Final = re.compile(r"""['"](\w+)['"]\s*:\s*('[^']*'|"[^"]*"|True|False|\([\d,\s]*\))""")
_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Member:
    """One array: what its header says, compared with the size of its bytes."""

    name: str
    info: zipfile.ZipInfo
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    data_start: int


class Archive:
    """An open npz file. Arrays are streamed, or read whole when they are small.

    Args:
        path: the file.
        limit_bytes: the most that all arrays together may unpack to.

    Raises:
        NocturneInputError: `archive.*`, `npz.*`, `replay.expansion_limit`.
    """

    def __init__(self, path: Path, *, limit_bytes: int) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except _DAMAGED as error:
            raise _inconsistent("its table of contents cannot be read") from error
        try:
            self.members = self._open_members(path.stat().st_size, limit_bytes)
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def _open_members(self, packed: int, limit_bytes: int) -> dict[str, Member]:
        infos = self._zip.infolist()
        if len(infos) > limits.ARCHIVE_MEMBERS:
            raise refuse(
                "archive.too_many",
                f"The archive has {len(infos):,} members; a record set has at most {limits.ARCHIVE_MEMBERS} "
                "arrays.",
            )
        if self._zip.comment:
            raise _inconsistent("it carries a comment, which numpy never writes")
        unpacked = sum(info.file_size for info in infos)
        if unpacked > limits.ARCHIVE_RATIO_FROM and unpacked > limits.ARCHIVE_RATIO * packed:
            raise refuse(
                "archive.bomb",
                f"The archive of {packed:,} bytes would unpack to {unpacked:,}, over {limits.ARCHIVE_RATIO} "
                "times as "
                "much. It was not unpacked. Save the arrays with np.savez instead.",
            )
        if unpacked > limit_bytes:
            raise refuse(
                "replay.expansion_limit",
                f"The arrays unpack to {unpacked:,} bytes; there is room for {limit_bytes:,}. Upload fewer "
                "records.",
            )
        place = 0
        for info in sorted(infos, key=lambda item: item.header_offset):
            if info.header_offset < place:
                raise _inconsistent(f"member {shorten(info.filename)} overlaps another")
            place = info.header_offset + 30 + len(info.orig_filename.encode()) + info.compress_size
        members: dict[str, Member] = {}
        for info in infos:
            member = self._member(info)
            if member.name in members:
                raise refuse(
                    "archive.duplicate_name", f"The archive has two arrays named {shorten(member.name)}."
                )
            members[member.name] = member
        return members

    def _member(self, info: zipfile.ZipInfo) -> Member:
        shown = shorten(info.filename)
        if info.flag_bits & 0x41:
            raise refuse(
                "archive.encrypted", f"Member {shown} is encrypted. Save the archive without a password."
            )
        if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise refuse("archive.method", f"Member {shown} is packed in a way that numpy does not use.")
        if not info.filename.endswith(".npy"):
            raise refuse(
                "npz.header", f"Member {shown} is not an array (.npy). Save the arrays with np.savez."
            )
        with self._stream(info) as handle:
            return _read_header(info, handle)

    def _stream(self, info: zipfile.ZipInfo) -> IO[bytes]:
        try:
            return self._zip.open(info)
        except _DAMAGED as error:
            raise _inconsistent(f"member {shorten(info.filename)} is not where the contents say") from error

    def chunks(self, name: str, count: int) -> Iterator[bytes]:
        """The array's bytes in pieces of `count` (the last may be shorter); the checksum is checked too."""
        member = self.members[name]
        left = member.info.file_size - member.data_start
        with self._stream(member.info) as handle:
            _exactly(handle, member.data_start, name)
            while left:
                piece = _exactly(handle, min(count, left), name)
                left -= len(piece)
                yield piece
            _exactly(handle, 0, name)

    def array(self, name: str) -> NDArray[Any]:
        """The whole array, in memory. Raises NocturneInputError (`npz.limit`) over 512 MiB."""
        member = self.members[name]
        size = member.info.file_size - member.data_start
        if size > IN_MEMORY_BYTES:
            raise refuse(
                "npz.limit",
                f"Array {shorten(name)} has {size:,} bytes and must be held in memory for this, which allows "
                f"{IN_MEMORY_BYTES:,}. Save it in row order (np.ascontiguousarray) or in smaller sets.",
            )
        data = b"".join(self.chunks(name, limits.CHUNK))
        flat: NDArray[Any] = np.frombuffer(data, dtype=member.dtype)
        return flat.reshape(member.shape, order="F" if member.fortran else "C")


def _exactly(handle: IO[bytes], count: int, name: str) -> bytes:
    pieces, left = [], count
    try:
        while left:
            piece = handle.read(left)
            if not piece:
                raise refuse(
                    "npz.size_mismatch",
                    f"Array {shorten(name)} ends {left:,} bytes early. Save or copy the file again.",
                )
            pieces.append(piece)
            left -= len(piece)
        if not count and handle.read(1):
            raise refuse("npz.size_mismatch", f"Array {shorten(name)} has more bytes than its shape needs.")
    except NocturneInputError:
        raise
    except _DAMAGED as error:
        raise _inconsistent(f"array {shorten(name)} is damaged (its checksum or packing is wrong)") from error
    return b"".join(pieces)


def _read_header(info: zipfile.ZipInfo, handle: IO[bytes]) -> Member:
    name = info.filename.removesuffix(".npy")
    shown = shorten(name)
    if info.file_size < 10:
        raise refuse("npz.header", f"Array {shown} is too short to be one. Save it with np.savez.")
    start = _exactly(handle, 8, name)
    if start[:6] != b"\x93NUMPY" or start[6:8] not in {b"\x01\x00", b"\x02\x00"}:
        raise refuse(
            "npz.header",
            f"Array {shown} does not begin as numpy's format 1 or 2 does. Save it with np.savez.",
        )
    width = 2 if start[6] == 1 else 4
    if info.file_size < 8 + width:
        raise refuse("npz.header", f"Array {shown} ends inside its header.")
    length = int.from_bytes(_exactly(handle, width, name), "little")
    data_start = 8 + width + length
    if length > limits.NPY_HEADER_BYTES or data_start > info.file_size:
        raise refuse(
            "npz.header",
            f"The header of array {shown} claims {length:,} bytes; at most {limits.NPY_HEADER_BYTES:,} are "
            "read.",
        )
    dtype, shape, fortran = _parse_header(_exactly(handle, length, name).decode("latin-1"), shown)
    elements = math.prod(shape)
    present = info.file_size - data_start
    if elements > limits.ELEMENTS or elements * dtype.itemsize != present:
        raise refuse(
            "npz.size_mismatch",
            f"Array {shown} claims the shape {list(shape)} of {dtype.name}; its {present:,} bytes do not "
            "hold that. "
            "Save it again with np.savez.",
        )
    return Member(name, info, dtype, shape, fortran, data_start)


def _parse_header(text: str, shown: str) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    if re.search(r"""['"]descr['"]\s*:\s*[\[(]""", text):
        raise refuse(
            "npz.dtype",
            f"Array {shown} has named columns (a structured type). Save plain numbers, one array each.",
        )
    items = dict(_ITEM.findall(text)) if _HEADER.fullmatch(text) else {}
    if set(items) != {"descr", "fortran_order", "shape"} or items["fortran_order"] not in {"True", "False"}:
        raise refuse("npz.header", f"The header of array {shown} is not one that numpy writes.")
    descr, shape_text = items["descr"][1:-1], items["shape"]
    if not shape_text.startswith("(") or items["descr"][0] not in "'\"":
        raise refuse("npz.header", f"The header of array {shown} is not one that numpy writes.")
    if re.fullmatch(r"[|<>=]?O\d*", descr):
        raise refuse(
            "npz.pickle_forbidden",
            f"Array {shown} holds Python objects, which only a pickle could restore, and a pickle can run "
            "code. "
            "It was not opened. Save plain numbers: np.asarray(values, dtype=np.float32).",
        )
    if not re.fullmatch(r"[|<>=]?[a-zA-Z?]\d{0,3}", descr) or descr.lstrip("|<>=")[0] not in "?biuf":
        raise refuse(
            "npz.dtype",
            f"Array {shown} has the type {shorten(descr, 20)}; numbers are needed (uint8, int64, float32, "
            "...).",
        )
    try:
        dtype: np.dtype[Any] = np.dtype(descr)
    except TypeError as error:
        raise refuse("npz.dtype", f"Array {shown} has the unknown type {shorten(descr, 20)}.") from error
    sizes = [part.strip() for part in shape_text.strip("()").split(",") if part.strip()]
    if len(sizes) > limits.DIMENSIONS or any(not size.isdigit() or len(size) > 19 for size in sizes):
        raise refuse(
            "npz.header",
            f"Array {shown} claims a shape that is not possible; at most {limits.DIMENSIONS} dimensions are "
            "read.",
        )
    return dtype, tuple(int(size) for size in sizes), items["fortran_order"] == "True"


def _inconsistent(what: str) -> NocturneInputError:
    return refuse(
        "archive.inconsistent", f"The archive contradicts itself: {what}. Save or copy the file again."
    )
