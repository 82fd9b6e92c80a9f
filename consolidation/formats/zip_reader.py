"""A strict reader of zip archives: what two programs could read in two ways is refused.

Own code, because the standard library believes one of the two tables of contents that a zip has, skips bytes
before the first member, and takes the last of several end records (APPNOTE.TXT 6.3.10 is the format). Nothing
is extracted: a member is a stretch of the archive, or is unpacked into a stream whose bytes are counted.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.archive_names import check_conflicts, check_path, too_many
from consolidation.formats.refusal import refuse

if TYPE_CHECKING:
    from consolidation.formats.region import Region

STORED, DEFLATED = 0, 8
_END: Final = b"PK\x05\x06"
_ROW_BYTES: Final = 256  # a member's usual share of the table of contents
_END_SIZE, _LOCAL_SIZE, _CENTRAL_SIZE = 22, 30, 46
_MOST_32, _MOST_16 = 0xFFFFFFFF, 0xFFFF
_ENCRYPTED, _DESCRIPTOR, _UTF8 = 0x2041, 0x08, 0x800
_DOS_FOLDER: Final = 0x10


@dataclass(frozen=True)
class Member:
    """One file of an archive. `packed` are its bytes as they lie there; `size` what they unpack to."""

    name: str
    packed: Region
    method: int
    size: int
    crc32: int
    offset: int
    descriptor: bool

    def chunks(self) -> Iterator[bytes]:
        """The contents in pieces; the checksum and the size are those of the table of contents, or it raises.

        Raises:
            NocturneInputError: `archive.inconsistent`, `archive.bomb`.
        """
        value, count = 0, 0
        for piece in self._unpacked():
            count += len(piece)
            if count > self.size:
                raise refuse(
                    "archive.bomb",
                    f"Member {shorten(self.name)} unpacks to more than the {self.size:,} bytes "
                    "that the archive "
                    "says. It was not unpacked any further. Pack the files again.",
                )
            value = zlib.crc32(piece, value)
            yield piece
        if count != self.size or value != self.crc32:
            raise inconsistent(f"member {shorten(self.name)} is damaged (its checksum or length is wrong)")

    def _unpacked(self) -> Iterator[bytes]:
        if self.method == STORED:
            yield from self.packed.chunks()
            return
        engine = zlib.decompressobj(-15)
        try:
            for piece in self.packed.chunks():
                if engine.eof:  # what is fed to it now, it would only heap up
                    raise inconsistent(f"member {shorten(self.name)} is damaged (bytes follow its packing)")
                data = engine.decompress(piece, limits.CHUNK)
                while data:
                    yield data
                    data = engine.decompress(engine.unconsumed_tail, limits.CHUNK)
            if not engine.eof or engine.unused_data:
                raise inconsistent(f"member {shorten(self.name)} is damaged (its packing ends in the middle)")
        except zlib.error:
            raise inconsistent(f"member {shorten(self.name)} is damaged (it does not unpack)") from None

    def read(self, most: int) -> bytes:
        """All of a small member. Raises NocturneInputError (`archive.bomb`) when it is larger than `most`."""
        if self.size > most:
            raise refuse(
                "archive.bomb",
                f"Member {shorten(self.name)} has {self.size:,} bytes; at most {most:,} are read of such a "
                "file. It was not unpacked.",
            )
        return b"".join(self.chunks())


def read_zip(region: Region, *, most: int = limits.FOLDER_MEMBERS) -> dict[str, Member]:
    """The members by name, folders left out; not one of them is read.

    Args:
        most: how many there may be.

    Raises:
        NocturneInputError: `archive.*`.
    """
    start, size, count = _end(region)
    if count > most:
        raise too_many(count, most)
    if size > max(limits.HEADER_BYTES, _ROW_BYTES * most):
        raise inconsistent(f"its table of contents takes {size:,} bytes")
    found = _central(region, region.read(start, size), count, start)
    _check_overlap(region, found, start)
    check_conflicts(member.name for member in found)
    return {member.name: member for member in found if not member.name.endswith("/")}


def inconsistent(what: str) -> NocturneInputError:
    """The archive says two things about one matter."""
    return refuse(
        "archive.inconsistent", f"The archive contradicts itself: {what}. Save or copy the file again."
    )


def _end(region: Region) -> tuple[int, int, int]:
    """(start of the table of contents, its size, members)."""
    base = max(0, region.size - _END_SIZE - _MOST_16)
    tail = region.read(base)
    place = tail.rfind(_END)
    if place < 0 or len(tail) - place < _END_SIZE:
        raise inconsistent("it has no end record, so it was cut off")
    disk, first, here, count, size, start, comment = struct.unpack("<4H2IH", tail[place + 4 : place + 22])
    end = base + place
    if place + _END_SIZE + comment != len(tail):
        raise inconsistent("bytes follow its end, or its comment holds an end record")
    if disk or first or here != count:
        raise inconsistent("it says that it is one part of several")
    # PyTorch always writes the wide record, also where the narrow one would do.
    if end >= 20 and region.read(end - 20, 4) == b"PK\x06\x07":
        wide = _end64(region, end)
        for narrow, value, most in (
            (start, wide[0], _MOST_32),
            (size, wide[1], _MOST_32),
            (count, wide[2], _MOST_16),
        ):
            if narrow not in (value, most):
                raise inconsistent("its two end records differ")
        start, size, count, end = wide
    elif count == _MOST_16 or size == _MOST_32 or start == _MOST_32:
        raise inconsistent("its zip64 end record is missing")
    if start + size != end:
        what = "bytes stand before its first member" if start + size < end else "its parts overlap"
        raise inconsistent(f"{what}, or it has two end records")
    return start, size, count


def _end64(region: Region, end: int) -> tuple[int, int, int, int]:
    place = struct.unpack("<Q", region.read(end - 12, 8))[0]
    if place + 56 != end - 20:
        raise inconsistent("its zip64 end record is not where it says")
    record = region.read(place, 56)
    if record[:4] != b"PK\x06\x06" or struct.unpack("<Q", record[4:12])[0] != 44:
        raise inconsistent("its zip64 end record is damaged")
    here, count, size, start = struct.unpack("<4Q", record[24:56])
    if here != count:
        raise inconsistent("it says that it is one part of several")
    return start, size, count, place


def _central(region: Region, table: bytes, count: int, limit: int) -> list[Member]:
    found, place = [], 0
    for _ in range(count):
        row = table[place : place + _CENTRAL_SIZE]
        if len(row) < _CENTRAL_SIZE or row[:4] != b"PK\x01\x02":
            raise inconsistent("its table of contents has fewer members than it says")
        flags, method, crc32, packed, size, n, m, k, disk, offset = (
            *struct.unpack("<2H", row[8:12]), *struct.unpack("<3I", row[16:28]),
            *struct.unpack("<4H", row[28:36]), struct.unpack("<I", row[42:46])[0],
        )  # fmt: skip
        attributes = struct.unpack("<I", row[38:42])[0]
        raw = table[place + _CENTRAL_SIZE : place + _CENTRAL_SIZE + n]
        extra = table[place + _CENTRAL_SIZE + n : place + _CENTRAL_SIZE + n + m]
        if len(raw) != n or len(extra) != m or disk not in (0, _MOST_16):
            raise inconsistent("its table of contents is cut off")
        size, packed, offset = _wide(extra, size, packed, offset)
        name = _name(raw)
        _check_kind(name, flags, method, attributes, size)
        if offset + _LOCAL_SIZE + packed > limit:
            raise inconsistent(f"member {shorten(name)} is not inside of the archive")
        if size > limits.ARCHIVE_RATIO_FROM and size > limits.ARCHIVE_RATIO * max(packed, 1):
            raise refuse(
                "archive.bomb",
                f"Member {shorten(name)} of {packed:,} bytes would unpack to {size:,}, over "
                f"{limits.ARCHIVE_RATIO} times as much. It was not unpacked. Pack the files "
                "without compression.",
            )
        found.append(_local(region, raw, name, flags, method, crc32, packed, size, offset))
        place += _CENTRAL_SIZE + n + m + k
    if place != len(table):
        raise inconsistent("its table of contents has more members than it says")
    return found


def _wide(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """The zip64 field holds those of the three that did not fit, in this order."""
    values, place = [size, packed, offset], 0
    asked = [index for index, value in enumerate(values) if value == _MOST_32]
    while asked and place + 4 <= len(extra):
        kind, length = struct.unpack("<2H", extra[place : place + 4])
        if kind == 1 and place + 4 + length <= len(extra) and length >= 8 * len(asked):
            for number, index in enumerate(asked):
                at = place + 4 + 8 * number
                values[index] = struct.unpack("<Q", extra[at : at + 8])[0]
            asked = []
        place += 4 + length
    if asked or max(values) > 2**62:
        raise inconsistent("a size or place of its zip64 table is missing or impossible")
    return values[0], values[1], values[2]


def _local(
    region: Region,
    raw: bytes,
    name: str,
    flags: int,
    method: int,
    crc32: int,
    packed: int,
    size: int,
    offset: int,
) -> Member:
    """Compare the member's own header with the table of contents."""
    row = region.read(offset, _LOCAL_SIZE)
    shown = shorten(name)
    if len(row) < _LOCAL_SIZE or row[:4] != b"PK\x03\x04":
        raise inconsistent(f"member {shown} is not where the contents say")
    own_flags, own_method = struct.unpack("<2H", row[6:10])
    own_crc32, own_packed, own_size, n, m = struct.unpack("<3I2H", row[14:30])
    rest = region.read(offset + _LOCAL_SIZE, n + m)
    if rest[:n] != raw or own_method != method or (own_flags ^ flags) & (_ENCRYPTED | _DESCRIPTOR | _UTF8):
        raise inconsistent(f"member {shown} has another name or packing in its own header")
    if not flags & _DESCRIPTOR:
        if _MOST_32 in (own_packed, own_size):
            own_size, own_packed, _ = _wide(rest[n:], own_size, own_packed, 0)
        if (own_crc32, own_packed, own_size) != (crc32, packed, size):
            raise inconsistent(f"member {shown} has another size or checksum in its own header")
    elif (own_packed not in (0, packed, _MOST_32)) or (own_size not in (0, size, _MOST_32)):
        raise inconsistent(f"member {shown} has another size in its own header")
    if method == STORED and packed != size:
        raise inconsistent(f"member {shown} is stored, but its two sizes differ")
    start = offset + _LOCAL_SIZE + n + m
    if start + packed > region.size:
        raise inconsistent(f"member {shown} is not inside of the archive")
    return Member(name, region.part(start, packed), method, size, crc32, offset, bool(flags & _DESCRIPTOR))


def _check_overlap(region: Region, found: list[Member], limit: int) -> None:
    """Members follow each other without a gap, but for the descriptors that some writers put behind."""
    place, slack = 0, 0
    for member in sorted(found, key=lambda one: one.offset):
        gap = member.offset - place
        if gap < 0:
            raise refuse(
                "archive.overlap",
                f"Member {shorten(member.name)} overlaps another one. The archive was made to unpack to more "
                "than it holds; it was not unpacked.",
            )
        if gap > slack:
            raise inconsistent(f"bytes that belong to no member stand before {shorten(member.name)}")
        place = member.packed.start - region.start + member.packed.size
        # Four bytes that announce it, a checksum, and two sizes of four or eight bytes.
        slack = 24 if member.descriptor else 0
    if limit - place > slack or limit < place:
        raise inconsistent("bytes that belong to no member stand before its table of contents")


def _name(raw: bytes) -> str:
    try:
        # UTF-8 also without its flag, which a Mac and `zip` do not set. In whatever code page another program
        # reads it, no letter from 128 on becomes a slash, a dot, or the name of a file that is looked for.
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        shown = shorten(raw[:40].decode("ascii", "replace"))
        raise refuse(
            "archive.name_conflict",
            f"A member's name ({shown}) is no text that all systems read alike. Rename it.",
        ) from None
    return check_path(name)


def _check_kind(name: str, flags: int, method: int, attributes: int, size: int) -> None:
    """A plain file or a folder, by its name, its attributes of DOS and its mode of Unix alike: PyTorch's own
    reader believes the attributes, and gives whatever its memory holds as the numbers of a "folder"."""
    shown, mode = shorten(name), attributes >> 16
    if flags & _ENCRYPTED:
        raise refuse("archive.encrypted", f"Member {shown} is encrypted. Pack the files without a password.")
    if method not in (STORED, DEFLATED):
        raise refuse(
            "archive.method",
            f"Member {shown} is packed by a method (number {method}) that is not read. Pack the "
            "files without "
            "compression, or with deflate.",
        )
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFLNK:
        raise refuse("archive.link_forbidden", f"Member {shown} is a link. Put the file itself there.")
    folder = name.endswith("/")
    if (attributes & _DOS_FOLDER or kind == stat.S_IFDIR) and not folder:
        raise inconsistent(f"member {shown} is a file by its name and a folder by its attributes")
    if folder and (size or kind == stat.S_IFREG):
        raise inconsistent(f"member {shown} is a folder by its name and a file by its content")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or mode & (stat.S_ISUID | stat.S_ISGID):
        raise refuse("archive.special_file", f"Member {shown} is no plain file. Pack plain files only.")
