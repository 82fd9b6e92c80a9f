"""A strict reader of tar archives: ustar, GNU's long names, PAX (POSIX.1-2001); files and folders only.

Nothing is extracted: a member is a stretch of the archive. What two programs could read in two ways is
refused: a checksum that is off, a path that only some read, a sparse file, bytes behind the end. A leading
"./", which `tar -C folder .` writes before every name, is taken off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.archive_names import check_conflicts, check_path, too_many
from consolidation.formats.refusal import refuse

if TYPE_CHECKING:
    from consolidation.formats.region import Region

BLOCK: Final = 512
# Names and PAX tables are small; what is longer is not read.
_EXTRA_BYTES: Final = 64 * 1024
# Writers fill the last record up with zeros; the largest usual record has 512 blocks.
_PADDING_BYTES: Final = 2**20
_POSIX, _GNU = b"ustar\x0000", b"ustar  \x00"
_FILE, _FOLDER = frozenset(b"0\x00"), ord("5")
_LINKS: Final = frozenset(b"12K")
_LONG_NAME, _PAX, _PAX_ALL = ord("L"), ord("x"), ord("g")
_OCTAL: Final = re.compile(rb" *([0-7]*)[ \x00]*")
_PAX_LINE: Final = re.compile(rb"([1-9][0-9]{0,6}) ([^=\n]{1,200})=", re.DOTALL)
_TRUST: Final = frozenset({"path", "size"})
_MOST_OCTAL: Final = 0o77777777777
_SPARSE: Final = ("GNU.sparse.", "SCHILY.realsize")


@dataclass(frozen=True)
class _Header:
    name: bytes
    kind: int
    size: int
    mode: int


def read_tar(region: Region, *, most: int = limits.FOLDER_MEMBERS) -> dict[str, Region]:
    """The files by name, each a stretch of the archive; not one of them is read.

    Args:
        most: how many there may be.

    Raises:
        NocturneInputError: `archive.*`.
    """
    names: list[str] = []
    files: dict[str, Region] = {}
    for count, (name, place, size) in enumerate(_members(region, most), 1):
        if count > most:
            raise too_many(count, most)
        if not name:  # the archive's own folder
            continue
        names.append(name)
        if not name.endswith("/"):
            files.setdefault(name, region.part(place, size))
    check_conflicts(names)
    return files


def _members(region: Region, most: int) -> Iterator[tuple[str, int, int]]:
    """(name, place of the content, size), folders with a slash at the end; "" for the archive's own."""
    place = extras = 0
    told: dict[str, str] = {}
    while True:
        raw = region.read(place, BLOCK)
        if len(raw) < BLOCK:
            raise inconsistent("it has no end, so it was cut off")
        if not any(raw):
            if told:
                raise inconsistent("its last header speaks of a member that is not there")
            _check_end(region, place)
            return
        header = _header(raw)
        place += BLOCK
        if header.kind in {_LONG_NAME, _PAX, _PAX_ALL}:
            extras += 1
            if extras > 2 * most:
                raise too_many(extras, most)
            told |= _told(region, place, header, told)
            place += _padded(header.size)
            continue
        size = _size(told["size"], header.size) if "size" in told else header.size
        name = _checked(told.get("path"), header, size)
        if place + _padded(size) > region.size:
            raise inconsistent(f"member {shorten(name)} ends behind its end, so it was cut off")
        yield name, place, size
        told, place = {}, place + _padded(size)


def inconsistent(what: str) -> NocturneInputError:
    """The archive is damaged, or says two things about one matter."""
    return refuse(
        "archive.inconsistent", f"The tar archive contradicts itself: {what}. Pack or copy the file again."
    )


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _header(raw: bytes) -> _Header:
    magic = raw[257:265]
    if magic not in (_POSIX, _GNU):
        raise inconsistent("one of its headers is none of a tar archive")
    # The checksum counts its own eight bytes as spaces.
    if _number(raw[148:156]) != sum(raw) - sum(raw[148:156]) + 8 * 32:
        raise inconsistent("the checksum of a header is wrong, so it is damaged")
    name, prefix = raw[:100].partition(b"\0")[0], raw[345:500].partition(b"\0")[0]
    if magic == _GNU and any(raw[345:500]):
        raise inconsistent("a header of GNU's kind has fields that some programs take for a path")
    if prefix:
        name = prefix + b"/" + name
    return _Header(name, raw[156], _number(raw[124:136]), _number(raw[100:108]))


def _number(field: bytes) -> int:
    """Octal digits, or, where the first bit is set, the bytes of a large number (GNU)."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") - (0x80 << 8 * (len(field) - 1))
        if field[0] != 0x80 or value >= limits.ELEMENTS:
            raise inconsistent("a number in a header is negative, or beyond any disk")
        return value
    digits = _OCTAL.fullmatch(field)
    if digits is None:
        raise inconsistent("a number in a header is none")
    return int(digits[1] or b"0", 8)


def _checked(path: str | None, header: _Header, size: int) -> str:
    """The member's name, when it is a file or a folder; "" for the archive's own folder."""
    name = path if path is not None else _text(header.name)
    shown = shorten(name)
    if header.kind in _LINKS:
        raise refuse("archive.link_forbidden", f"Member {shown} is a link. Put the file itself there.")
    # Folders of a group carry a bit that files must not have; permissions are not taken over at all.
    if header.kind not in _FILE and header.kind != _FOLDER:
        raise _special(shown)
    if header.kind != _FOLDER and header.mode & 0o6000:
        raise _special(shown)
    if header.kind == _FOLDER:
        if size:
            raise inconsistent(f"member {shown} is a folder with content")
        name = f"{name.removesuffix('/')}/"
    elif name.endswith("/"):
        raise inconsistent(f"member {shown} is a folder by its name and a file by its kind")
    name = name.removeprefix("./")
    if not name or (name == "./" and header.kind == _FOLDER):
        if header.kind == _FOLDER:
            return ""
        raise inconsistent("a member has no name")
    return check_path(name)


def _special(shown: str) -> NocturneInputError:
    return refuse("archive.special_file", f"Member {shown} is no plain file. Pack plain files only.")


def _told(region: Region, place: int, header: _Header, told: dict[str, str]) -> dict[str, str]:
    """What a header of a header says about the next member."""
    if header.size > _EXTRA_BYTES:
        raise refuse(
            "archive.name_conflict",
            f"A name in the archive takes {header.size:,} bytes; at most {limits.PATH_BYTES} are read. "
            "Rename it.",
        )
    raw = region.read(place, header.size)
    if len(raw) < header.size or place + _padded(header.size) > region.size:
        raise inconsistent("it was cut off in a header")
    if header.kind == _LONG_NAME:
        found = {"path": _text(raw.removesuffix(b"\0"))}
    else:
        found = _pax(raw)
        if header.kind == _PAX_ALL:
            if found:
                raise inconsistent("it gives all of its members one path or size")
            return {}
    if set(found) & set(told):
        raise inconsistent("a member has two long names or sizes")
    return found


def _pax(raw: bytes) -> dict[str, str]:
    """The path and the size of a PAX table ("27 path=a/long/name\\n"); times and owners do not matter."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    place = 0
    while place < len(raw):
        line = _PAX_LINE.match(raw, place)
        end = place + int(line[1]) if line else 0
        if line is None or not line.end() < end <= len(raw) or raw[end - 1 : end] != b"\n":
            raise inconsistent("a PAX header is damaged")
        key, value = _text(line[2]), raw[line.end() : end - 1]
        if key in seen:
            raise inconsistent(f"a PAX header says {shorten(key)} twice")
        seen.add(key)
        if key.startswith(_SPARSE):
            raise refuse(
                "archive.special_file", "A member is a sparse file. Pack plain files only (without -S)."
            )
        if key == "linkpath":
            raise refuse("archive.link_forbidden", "A member is a link. Put the file itself there.")
        if key == "hdrcharset":
            raise inconsistent("its names are in an alphabet of their own")
        if key in _TRUST:
            found[key] = _text(value)
        place = end
    return found


def _size(text: str, plain: int) -> int:
    """The size that PAX tells: the plain header's, or one that does not fit there."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise inconsistent(f"a PAX header says that a size is {shorten(text)}")
    size = int(text)
    if size != plain and size <= _MOST_OCTAL:
        raise inconsistent("a member has two sizes, so that two programs would read different files")
    return size


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        shown = shorten(raw[:40].decode("ascii", "replace"))
        raise refuse(
            "archive.name_conflict",
            f"A member's name ({shown}) is no text that all systems read alike. Rename it.",
        ) from None


def _check_end(region: Region, place: int) -> None:
    """Two empty blocks, and zeros up to the end of the file."""
    left = region.size - place
    if left < 2 * BLOCK:
        raise inconsistent("its end is cut off")
    if left > _PADDING_BYTES or any(any(piece) for piece in region.chunks(place)):
        raise inconsistent("bytes follow its end")
