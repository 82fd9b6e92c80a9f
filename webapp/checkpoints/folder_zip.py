"""A checkpoint's folder as a zip that is never written: weights and companion files as stored members.

Stored members keep every byte where it can be computed beforehand, so the length is exact and any range can
be sent. The same checkpoint always makes the same bytes. Format: PKWARE APPNOTE 6.3.10, with zip64 (4.3.9,
4.3.14, 4.5.3) only where a number does not fit.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from webapp.core.segments import Stretch, size_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST: Final = 0xFFFFFFFF
_MOST_MEMBERS: Final = 0xFFFF
_UTF8: Final = 0x0800
# 1 January 1980, 00:00: the zip says nothing about when it was made.
_TIME, _DATE = 0, 0x21
_UNIX: Final = 3 << 8
_REGULAR_FILE_644: Final = 0o100644 << 16
_PLAIN, _ZIP64 = 20, 45


@dataclass(frozen=True)
class Member:
    """One file of the folder: a name without a folder, where its bytes lie, and their CRC-32."""

    name: str
    content: Stretch
    crc32: int


def folder_zip(members: Sequence[Member]) -> list[bytes | Stretch]:
    """The whole archive as pieces, in order.

    Raises:
        ValueError: two members have one name, whatever the case: they would overwrite each other.
    """
    if len({member.name.lower() for member in members}) != len(members):
        raise ValueError("two members of a folder have one name")
    pieces: list[bytes | Stretch] = []
    directory, place = b"", 0
    for member in members:
        header = _local(member)
        directory += _central(member, place)
        pieces += [header, member.content]
        place += len(header) + member.content.size
    return [*pieces, directory + _end(len(members), len(directory), size_of(pieces))]


def _local(member: Member) -> bytes:
    size, name = member.content.size, member.name.encode()
    large = size >= _MOST
    # In a local header both sizes are there, or neither.
    extra = struct.pack("<HHQQ", 1, 16, size, size) if large else b""
    shown = _MOST if large else size
    head = struct.pack(
        "<4sHHHHHLLLHH", b"PK\x03\x04", _ZIP64 if large else _PLAIN, _UTF8, 0, _TIME, _DATE, member.crc32,
        shown, shown, len(name), len(extra),
    )  # fmt: skip
    return head + name + extra


def _central(member: Member, place: int) -> bytes:
    size, name = member.content.size, member.name.encode()
    far = [size, size] if size >= _MOST else []
    if place >= _MOST:
        far.append(place)
    extra = struct.pack(f"<HH{len(far)}Q", 1, 8 * len(far), *far) if far else b""
    shown, version = min(size, _MOST), _ZIP64 if far else _PLAIN
    head = struct.pack(
        "<4sHHHHHHLLLHHHHHLL", b"PK\x01\x02", _UNIX | version, version, _UTF8, 0, _TIME, _DATE, member.crc32,
        shown, shown, len(name), len(extra), 0, 0, 0, _REGULAR_FILE_644, min(place, _MOST),
    )  # fmt: skip
    return head + name + extra


def _end(count: int, size: int, place: int) -> bytes:
    end = struct.pack(
        "<4sHHHHLLH", b"PK\x05\x06", 0, 0, min(count, _MOST_MEMBERS), min(count, _MOST_MEMBERS),
        min(size, _MOST), min(place, _MOST), 0,
    )  # fmt: skip
    if count < _MOST_MEMBERS and size < _MOST and place < _MOST:
        return end
    version = _UNIX | _ZIP64
    far = struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, version, _ZIP64, 0, 0, count, count, size, place)
    return far + struct.pack("<4sLQL", b"PK\x06\x07", 0, place + size, 1) + end
