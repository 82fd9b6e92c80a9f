"""How the inputs of a set are packed: one class a codec, one registration.

`raw` leaves the numbers as they are. `deflate` and `columns` give them back bit for bit; `q4`, `q2` and `q1`
keep 16, 4 or 2 evenly spaced levels between the set's lowest and highest number, and are lossy. Sizes are
honest: tables, offsets and the two ends of the range are bytes of the code. `columns` and the q codecs share
`columns.py`.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from consolidation.errors import NocturneInputError, shorten
from consolidation.memory.columns import decode_columns, encode_columns

Array = NDArray[Any]
Octets = NDArray[np.uint8]
BLOCK_CELLS = 1 << 22  # numbers coded together at most; bounds the memory that a hostile file can ask for
MOST_COLUMNS = 4096
MOST_TABLE = 1 << 15
WHOLE_BYTES = 1 << 28  # an unpacked set up to this size is kept in memory


class Codec(ABC):
    """Packs blocks of records; a block is read on its own.

    Attributes:
        lossless: whether `unpack` gives back what `pack` was given.
        block_rows: records a block at most.
    """

    name: ClassVar[str]
    lossless: ClassVar[bool] = True
    block_rows: ClassVar[int] = 4096

    def check(self, x: Array) -> None:
        """Raises NocturneInputError (`memories.codec`) when these numbers cannot be packed so."""
        if x[0].size > MOST_COLUMNS:
            raise NocturneInputError(
                "memories.codec",
                f"The codec '{self.name}' takes records of at most {MOST_COLUMNS:,} numbers; these have "
                f"{x[0].size:,}. Use deflate.",
            )

    def rows_per_block(self, rows: int, width: int) -> int:
        """Blocks of nearly the same size."""
        most = max(1, min(self.block_rows, BLOCK_CELLS // max(1, width)))
        return -(-rows // -(-rows // most))

    def table(self, x: Array) -> bytes:
        """What all blocks share, at most 32 KiB."""
        return b""

    def given_back(self, x: Array, table: bytes) -> Array:
        """What a set x packed with this table unpacks to, without packing it."""
        return x

    @abstractmethod
    def pack(self, block: Array, table: bytes) -> bytes:
        """The code of block [n, ...]."""

    @abstractmethod
    def unpack(self, code: bytes, table: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """[n, ...] in `dtype`. Raises ValueError for a code that `pack` did not write."""


CODECS: dict[str, Codec] = {}


def register_codec(cls: type[Codec]) -> type[Codec]:
    """Class decorator: adds a codec under its name."""
    CODECS[cls.name] = cls()
    return cls


def codec(name: str) -> Codec:
    """Raises NocturneInputError (`memories.codec`) for a name that no codec has."""
    if name not in CODECS:
        raise NocturneInputError(
            "memories.codec", f"There is no codec '{shorten(name)}'; known: raw, {', '.join(CODECS)}."
        )
    return CODECS[name]


@register_codec
class Deflate(Codec):
    """RFC 1951, level 9, record by record; a dictionary of some whole records where that saves bytes."""

    name = "deflate"
    block_rows = 1

    def check(self, x: Array) -> None:
        """Takes any numbers."""

    def table(self, x: Array) -> bytes:
        step = max(1, -(-len(x) // 256))
        sample = [row.tobytes() for row in x[::step]]
        best, least = b"", sum(len(self._deflate(row, b"")) for row in sample) * step
        for size in (1 << 12, MOST_TABLE):
            told = b"".join(sample[: max(1, size // len(sample[0]))])[:size]
            total = sum(len(self._deflate(row, told)) for row in sample) * step + len(told)
            if total < least:
                best, least = told, total
        return best

    @staticmethod
    def _deflate(data: bytes, table: bytes) -> bytes:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, table)
        return packer.compress(data) + packer.flush()

    def pack(self, block: Array, table: bytes) -> bytes:
        return self._deflate(block.tobytes(), table)

    def unpack(self, code: bytes, table: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        reader = zlib.decompressobj(-15, table)
        try:
            data = reader.decompress(code, size + 1)
        except zlib.error as error:
            raise ValueError("a record does not unpack") from error
        if len(data) != size or not reader.eof or reader.unused_data:
            raise ValueError("a record does not unpack to its size")
        return np.frombuffer(data, dtype).reshape(shape)


@register_codec
class Columns(Codec):
    """Whole bytes by `columns.py`: lossless, for unsigned 8-bit numbers."""

    name = "columns"

    def check(self, x: Array) -> None:
        super().check(x)
        if x.dtype != np.uint8:
            raise NocturneInputError(
                "memories.codec",
                f"The codec 'columns' packs unsigned 8-bit numbers and these are {x.dtype.name}. Use "
                "deflate, or a lossy codec.",
            )

    def pack(self, block: Array, table: bytes) -> bytes:
        return encode_columns(block.reshape(len(block), -1), 8)

    def unpack(self, code: bytes, table: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        if dtype != np.uint8:
            raise ValueError("the codec and the number format do not agree")
        return decode_columns(code, shape[0], int(np.prod(shape[1:])), 8).reshape(shape)


class Quantised(Codec):
    """Evenly spaced levels between the set's ends, each to the nearest; the table: both ends as float64."""

    lossless = False
    bits: ClassVar[int]

    def check(self, x: Array) -> None:
        super().check(x)
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            raise NocturneInputError(
                "records.non_finite",
                "A set that holds NaN or an infinite number has no range to divide. Correct it first.",
            )

    def table(self, x: Array) -> bytes:
        return np.array([x.min(), x.max()], "<f8").tobytes()

    @staticmethod
    def _ends(table: bytes) -> tuple[float, float]:
        low, high = np.frombuffer(table, "<f8") if len(table) == 16 else (np.nan, np.nan)
        if not (np.isfinite(low) and np.isfinite(high) and low <= high):
            raise ValueError("the range of the numbers is damaged")
        return float(low), float(high)

    def _levels(self, block: Array, table: bytes) -> NDArray[np.uint8]:
        low, high = self._ends(table)
        top = (1 << self.bits) - 1
        # divided first: the span of two large numbers may be beyond the largest
        share = (block.astype(np.float64) / 2 - low / 2) / ((high / 2 - low / 2) or 1.0)
        return np.rint(share * top).astype(np.uint8)

    def _values(self, level: NDArray[np.uint8], table: bytes, dtype: np.dtype[Any]) -> Array:
        low, high = self._ends(table)
        share = np.arange(1 << self.bits) / ((1 << self.bits) - 1)
        steps = low * (1 - share) + high * share
        if dtype.kind in "iu":
            steps = np.clip(np.rint(steps), low, high)
        found: Array = steps.astype(dtype)[level]
        return found

    def given_back(self, x: Array, table: bytes) -> Array:
        return self._values(self._levels(x, table), table, x.dtype)

    def pack(self, block: Array, table: bytes) -> bytes:
        return encode_columns(self._levels(block, table).reshape(len(block), -1), self.bits)

    def unpack(self, code: bytes, table: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        low, high = self._ends(table)
        if dtype.kind in "iu":
            ends = np.iinfo(dtype)
            if low < ends.min or high > ends.max:
                raise ValueError("the range of the numbers is damaged")
        elif high > np.finfo(dtype).max or low < np.finfo(dtype).min:
            raise ValueError("the range of the numbers is damaged")
        level = decode_columns(code, shape[0], int(np.prod(shape[1:])), self.bits).reshape(shape)
        return self._values(level, table, dtype)


@register_codec
class Q4(Quantised):
    """16 levels."""

    name, bits = "q4", 4


@register_codec
class Q2(Quantised):
    """4 levels."""

    name, bits = "q2", 2


@register_codec
class Q1(Quantised):
    """2 levels."""

    name, bits = "q1", 1


class Packed:
    """Packed inputs, which decode themselves block by block.

    Args:
        codec: its name.
        shape: [records, ...]; dtype: of the numbers that come out.
        block: records a block, the last one shorter.
        data: uint8, all blocks one after another; offsets: [blocks + 1], where each begins; table: uint8.

    Raises:
        ValueError: the sizes do not agree.
    """

    def __init__(
        self, codec: str, shape: tuple[int, ...], dtype: np.dtype[Any], block: int,
        *, data: Octets, offsets: Array, table: Octets,
    ) -> None:  # fmt: skip
        if codec not in CODECS:
            raise ValueError("its codec is not known")
        self.codec, self.shape, self.dtype, self.block = CODECS[codec], shape, dtype, block
        self.data, self.offsets, self.table = data, offsets, table
        width = 1
        for length in shape[1:]:
            width *= length
        places = offsets.astype(np.int64)
        most = self.codec.block_rows
        # a block has a cost of its own, so `pack` makes none that are less than half as large as they may be
        least = min(shape[0], most, max(1, BLOCK_CELLS // max(1, width))) / 2
        if most > 1 and (width > MOST_COLUMNS or block * width > BLOCK_CELLS + width):
            raise ValueError("its blocks are too large")
        good = max(1, least) <= block <= most and len(places) == -(-shape[0] // block) + 1
        if not good or places[0] != 0 or places[-1] != len(data) or (np.diff(places) < 0).any():
            raise ValueError("its offsets do not agree with its blocks")
        if len(table) > MOST_TABLE:
            raise ValueError("its table is too long")
        self._size = shape[0] * width * dtype.itemsize
        self._whole: Array | None = None
        self._at = -1
        self._last: Array = np.empty(0, dtype)

    @classmethod
    def of(cls, x: Array, name: str, table: bytes | None = None) -> Packed:
        """Packs x [records, ...], with a table of its own unless one is given.

        Raises:
            NocturneInputError: `memories.codec`.
        """
        how = codec(name)
        x = np.ascontiguousarray(x, x.dtype.newbyteorder("<"))
        how.check(x)
        table = how.table(x) if table is None else table
        rows = how.rows_per_block(len(x), x[0].size)
        blocks = [how.pack(x[place : place + rows], table) for place in range(0, len(x), rows)]
        places = np.cumsum([0, *(len(block) for block in blocks)])
        return cls(
            name, x.shape, x.dtype, rows, data=np.frombuffer(b"".join(blocks), np.uint8),
            offsets=places.astype("<u4" if places[-1] < 1 << 32 else "<u8"),
            table=np.frombuffer(table, np.uint8),
        )  # fmt: skip

    @property
    def nbytes(self) -> int:
        """Bytes of the code without its table and offsets."""
        return int(self.data.nbytes)

    def _block(self, number: int) -> Array:
        if number != self._at:
            begin, end = int(self.offsets[number]), int(self.offsets[number + 1])
            rows = min(self.block, self.shape[0] - number * self.block)
            code = self.data[begin:end].tobytes()
            shape = (rows, *self.shape[1:])
            self._last, self._at = self.codec.unpack(code, self.table.tobytes(), shape, self.dtype), number
        return self._last

    def __getitem__(self, rows: Any) -> Array:
        """[n, ...] for an index, a mask or a slice; a set that is not large is unpacked once and kept.

        Raises:
            ValueError: the code is damaged.
        """
        if self._whole is None and self._size <= WHOLE_BYTES:
            self._whole = self._gather(np.arange(self.shape[0]))
            self._at, self._last = -1, self._last[:0]
        if self._whole is not None:
            found: Array = self._whole[rows]
            return found
        n = self.shape[0]
        return self._gather(np.arange(*rows.indices(n)) if isinstance(rows, slice) else np.arange(n)[rows])

    def _gather(self, wanted: NDArray[np.int64]) -> Array:
        out = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        owner = wanted // self.block
        for number in np.unique(owner):
            here = owner == number
            out[here] = self._block(int(number))[wanted[here] - number * self.block]
        return out


def smallest_label_dtype(classes: int) -> np.dtype[Any]:
    """The narrowest of u1, u2, u4 and i8 that holds 0..classes - 1."""
    for kind, bits in (("<u1", 8), ("<u2", 16), ("<u4", 32)):
        if classes <= 1 << bits:
            return np.dtype(kind)
    return np.dtype("<i8")
