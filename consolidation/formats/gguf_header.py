"""A strict, bounded reader of GGUF headers (versions 2 and 3, little endian).

The format (docs/gguf.md of ggml): magic, version, two counts, key-values, one entry a tensor, then the
tensors' bytes, each beginning at a multiple of `general.alignment`. Every length is compared with its limit
before anything is made of it, sizes are multiplied as Python integers, and no value can hold another one of
its kind, so nothing recurses.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.ggml_types import OTHERS, TYPES, GGMLType
from consolidation.formats.refusal import refuse
from consolidation.formats.safetensors import check_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from consolidation.formats.region import Region

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
_ALIGNMENT: Final = 32  # where the file does not say
_MOST_ALIGNMENT: Final = 2**16
_UINT32, _BOOL, _TEXT, _ARRAY = 4, 7, 8, 9
# The numbers of the plain kinds of values, and how struct and numpy read them.
_SCALARS: Final = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_AGAIN: Final = "Copy the file again, or convert it again with the tools of llama.cpp."

Value: TypeAlias = "int | float | bool | str | list[str] | NDArray[Any]"


class GGUFTensor(NamedTuple):
    """One tensor: its number format, its shape (the slowest side first), and where it lies in the file."""

    type: GGMLType
    shape: tuple[int, ...]
    start: int
    size: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class GGUFHeader:
    """All that a file says about itself.

    Attributes:
        version: 2 or 3.
        values: the key-values; an array of texts is a list, one of numbers a numpy array.
        tensors: by name, in the order of their bytes.
    """

    version: int
    values: dict[str, Value]
    tensors: dict[str, GGUFTensor]


def read_gguf_header(region: Region) -> GGUFHeader:
    """Read and check the header; no tensor byte is touched.

    Raises:
        NocturneInputError: any of the `gguf.*` codes but `gguf.architecture` and `gguf.split`;
            `tensor.name_invalid`.
    """
    cursor = _Cursor(region.read(0, limits.HEADER_BYTES), cut=region.size > limits.HEADER_BYTES)
    version = _version(cursor)
    tensors = _count(cursor, "tensors", limits.TENSORS)
    values = _values(cursor, _count(cursor, "key-values", limits.GGUF_KEYS))
    alignment = values.get("general.alignment", _ALIGNMENT)
    found = dict[str, tuple[GGMLType, tuple[int, ...], int]]()
    for _ in range(tensors):
        name = _name(cursor)
        if name in found:
            raise refuse("gguf.header", f"The header has the tensor {shorten(name)} twice. {_AGAIN}")
        found[name] = _entry(cursor, name)
    padding = alignment if isinstance(alignment, int) else _ALIGNMENT  # `_values` lets no other kind through
    return GGUFHeader(version, values, _placed(found, cursor.place, padding, region.size))


class _Cursor:
    """Reads on from one place to the next, and never beyond the end."""

    def __init__(self, data: bytes, *, cut: bool) -> None:
        self._data, self._cut, self.place = memoryview(data), cut, 0

    @property
    def left(self) -> int:
        """Bytes that are still there."""
        return len(self._data) - self.place

    def take(self, size: int, what: str) -> memoryview:
        """The next bytes. Raises NocturneInputError (`gguf.header`) when they are not there."""
        if size > self.left:
            if self._cut:
                raise refuse(
                    "gguf.header",
                    f"The header takes more than {limits.HEADER_BYTES:,} bytes (at {what}). Convert the "
                    "model again with fewer key-values.",
                )
            raise refuse(
                "gguf.header",
                f"The file breaks off in its header: {what} needs {size:,} bytes from byte {self.place:,} "
                f"on, {self.left:,} are there. {_AGAIN}",
            )
        self.place += size
        return self._data[self.place - size : self.place]

    def number(self, code: str, what: str) -> Any:
        """The next number, of struct's kind `code`."""
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code), what))[0]


def _version(cursor: _Cursor) -> int:
    if bytes(cursor.take(4, "the magic number")) != MAGIC:
        raise refuse("gguf.header", f"The file does not begin as GGUF files do. {_AGAIN}")
    raw = bytes(cursor.take(4, "the version"))
    version = int.from_bytes(raw, "little")
    if version not in VERSIONS:
        if int.from_bytes(raw, "big") in VERSIONS:
            raise refuse(
                "gguf.header",
                "The file is in the byte order of another kind of machine (big endian). Convert the model "
                "again for little endian, which is what llama.cpp does by itself.",
            )
        raise refuse(
            "gguf.header",
            f"The file is GGUF of version {version:,}; read are versions 2 and 3. Convert the model again "
            "with today's tools of llama.cpp.",
        )
    return version


def _count(cursor: _Cursor, what: str, most: int) -> int:
    count: int = cursor.number("Q", f"the number of {what}")
    if count > most:
        raise refuse(
            "gguf.count_limit",
            f"The header announces {count:,} {what}; at most {most:,} are read. The file is damaged or no "
            "model.",
            count=count,
            limit=most,
        )
    return count


# -------------------------------------------------------------------------------- key-values


def _values(cursor: _Cursor, count: int) -> dict[str, Value]:
    values = dict[str, Value]()
    for number in range(1, count + 1):
        key = _text(cursor, f"the key of key-value {number}", limits.NAME_BYTES)
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise _bad(f"key-value {number} has the key “{shorten(key)}”")
        if key in values:
            raise _bad(f"the key {shorten(key)} stands there twice")
        kind = cursor.number("I", f"the kind of {key}")
        if key == "general.alignment":
            values[key] = _alignment(cursor, kind)
        elif kind == _ARRAY:
            values[key] = _array(cursor, key)
        else:
            values[key] = _scalar(cursor, kind, key)
    return values


def _bad(what: str) -> NocturneInputError:
    return refuse("gguf.kv_invalid", f"The header's key-values are not usable: {what}. {_AGAIN}")


def _text(cursor: _Cursor, what: str, most: int = limits.GGUF_TEXT_BYTES) -> str:
    length = cursor.number("Q", what)
    if length > most:
        raise _bad(f"{what} claims {length:,} bytes, and at most {most:,} are read")
    raw = bytes(cursor.take(length, what))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _bad(f"{what} is not UTF-8 text (byte {error.start})") from error


def _scalar(cursor: _Cursor, kind: int, key: str) -> int | float | bool | str:
    what = shorten(key)
    if kind == _TEXT:
        return _text(cursor, what)
    if kind not in _SCALARS:
        raise _bad(f"{what} is of the unknown kind {kind:,}")
    value: int | float = cursor.number(_SCALARS[kind], what)
    if kind != _BOOL:
        return value
    if value not in (0, 1):
        raise _bad(f"{what} is neither true nor false ({value})")
    return value == 1


def _array(cursor: _Cursor, key: str) -> list[str] | NDArray[Any]:
    what = f"the list {shorten(key)}"
    kind, count = cursor.number("I", what), cursor.number("Q", what)
    if kind == _ARRAY:
        raise _bad(f"{what} holds lists, and lists of lists are not read")
    if kind != _TEXT and kind not in _SCALARS:
        raise _bad(f"{what} is of the unknown kind {kind:,}")
    if count > limits.GGUF_ITEMS:
        raise _bad(f"{what} claims {count:,} entries, and at most {limits.GGUF_ITEMS:,} are read")
    if kind == _TEXT:
        return [_text(cursor, what) for _ in range(count)]
    item = struct.calcsize("<" + _SCALARS[kind])
    numbers = np.frombuffer(cursor.take(count * item, what), dtype="<" + _SCALARS[kind])
    if kind != _BOOL:
        return numbers
    if (numbers > 1).any():
        raise _bad(f"{what} holds something that is neither true nor false")
    return numbers.astype(bool)


def _alignment(cursor: _Cursor, kind: int) -> int:
    if kind != _UINT32:
        raise refuse("gguf.alignment", f"general.alignment is not a 32-bit whole number. {_AGAIN}")
    alignment: int = cursor.number("I", "general.alignment")
    if not 8 <= alignment <= _MOST_ALIGNMENT or alignment & (alignment - 1):
        raise refuse(
            "gguf.alignment",
            f"general.alignment is {alignment:,}; it must be a power of two from 8 to {_MOST_ALIGNMENT:,}. "
            f"{_AGAIN}",
        )
    return alignment


# -------------------------------------------------------------------------------- tensors


def _name(cursor: _Cursor) -> str:
    length = cursor.number("Q", "a tensor's name")
    if length > limits.NAME_BYTES:
        raise refuse(
            "tensor.name_invalid",
            f"A tensor's name claims {length:,} bytes; at most {limits.NAME_BYTES} are read. {_AGAIN}",
        )
    name = bytes(cursor.take(length, "a tensor's name")).decode("utf-8", "replace")
    check_name(name)
    return name


def _entry(cursor: _Cursor, name: str) -> tuple[GGMLType, tuple[int, ...], int]:
    """Number format, shape and the place that the file says, counted from the first tensor byte."""
    what = f"tensor {shorten(name)}"
    sides: int = cursor.number("I", what)
    if not 1 <= sides <= limits.GGUF_DIMENSIONS:
        raise refuse(
            "gguf.dims",
            f"The {what} has {sides:,} dimensions; there can be 1 to {limits.GGUF_DIMENSIONS}. {_AGAIN}",
        )
    shape = tuple(reversed(struct.unpack(f"<{sides}Q", cursor.take(8 * sides, what))))
    if 0 in shape or math.prod(shape) > limits.ELEMENTS:
        said = " x ".join(f"{side:,}" for side in shape)
        raise refuse("gguf.dims", f"The {what} has the impossible shape {said}. {_AGAIN}")
    number: int = cursor.number("I", what)
    kind = TYPES.get(number)
    if kind is None:
        said = OTHERS.get(number, f"number {number:,}")
        raise refuse(
            "gguf.quant_unsupported",
            f"The {what} is in the number format {said}; read are "
            f"{', '.join(known.name for known in TYPES.values())}. Convert the model again to one of these.",
            type=said,
        )
    if shape[-1] % kind.numbers:
        raise refuse(
            "gguf.quant_unsupported",
            f"The {what} is in the number format {kind.name}, whose blocks hold {kind.numbers} numbers; its "
            f"rows of {shape[-1]:,} are no whole number of blocks. {_AGAIN}",
            type=kind.name,
        )
    return kind, shape, cursor.number("Q", what)


def _placed(
    found: dict[str, tuple[GGMLType, tuple[int, ...], int]], header: int, alignment: int, size: int
) -> dict[str, GGUFTensor]:
    """The tensors in the order of their bytes, when nothing but padding is between them."""

    def padded(place: int) -> int:
        return -(-place // alignment) * alignment

    begin, place = padded(header), 0
    tensors = dict[str, GGUFTensor]()
    for name, (kind, shape, offset) in sorted(found.items(), key=lambda item: item[1][2]):
        length = math.prod(shape) // kind.numbers * kind.size
        shown = shorten(name)
        if offset % alignment:
            raise refuse(
                "gguf.offsets",
                f"Tensor {shown} begins at byte {offset:,}, which is no multiple of {alignment}. {_AGAIN}",
                tensor=shown,
            )
        if offset != place:
            what = "overlaps the one before it" if offset < place else "leaves a hole before it"
            raise refuse(
                "gguf.offsets",
                f"Tensor {shown} begins at byte {offset:,} and {what} ({place:,} expected). {_AGAIN}",
                tensor=shown,
            )
        if begin + offset + length > size:
            raise refuse(
                "gguf.offsets",
                f"The file ends early: tensor {shown} ends at byte {begin + offset + length:,}, and the file "
                f"has {size:,}. Copy the file again.",
                tensor=shown,
            )
        tensors[name] = GGUFTensor(kind, shape, begin + offset, length)
        place = padded(offset + length)
    if size > begin + place:
        raise refuse(
            "gguf.offsets",
            f"{size - begin - place:,} bytes follow the last tensor. The file was changed after it was made. "
            f"{_AGAIN}",
        )
    return tensors
