"""Records from Parquet, by pyarrow and only after the footer was held against the file.

Columns: `y` or `label` (whole numbers), and either `x` (a list of numbers) or one column of numbers for each
value; perhaps `logits` (a list), and owner, source, licence, purpose, expiry. Read in batches on one thread.
A row with a gap or of another width is a bad row; zeros stand in its place until it is left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.bad_rows import BadRows
from consolidation.formats.csv_rows import Columns, assign
from consolidation.formats.parquet_footer import check_footer, limit, malformed, unsupported
from consolidation.formats.record_rights import RightsColumns
from consolidation.formats.refusal import refuse
from consolidation.formats.region import Region
from consolidation.formats.source import Source

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

BATCH: Final = 8192  # rows at a time where only labels are read
_INDEX: Final = "__index_level_"  # what pandas adds for its own row labels
_BUFFER: Final = 256 * 2**20  # all columns' read buffers together


class Shard(Protocol):
    """One file of a table, whose claims were held against its bytes: its rows, and its size in bytes."""

    rows: int
    size: int

    def schema(self) -> Any:
        """Its columns, as pyarrow describes them."""

    def batches(self, names: Sequence[str], rows: int) -> Iterator[Any]:
        """Record batches of some columns, at most so many rows at a time."""


class ParquetShard:
    """A Parquet file, or one in an archive.

    Raises:
        NocturneInputError: `parquet.*`, `replay.expansion_limit`.
    """

    def __init__(self, file: Path | Region, *, limit_bytes: int) -> None:
        self._region = file if isinstance(file, Region) else Region.of(file)
        self.size = self._region.size
        self.rows = check_footer(self._region, limit_bytes=limit_bytes)

    def schema(self) -> Any:
        with library_errors(), self._region.open() as handle:
            return _library(handle, 1).schema_arrow

    def batches(self, names: Sequence[str], rows: int) -> Iterator[Any]:
        with library_errors(), self._region.open() as handle:
            file = _library(handle, len(names))
            yield from file.iter_batches(batch_size=rows, columns=list(names), use_threads=False)


@contextmanager
def library_errors() -> Iterator[None]:
    """Whatever the library raises becomes one of our refusals; its text stays here."""
    try:
        yield
    except NocturneInputError:
        raise
    except MemoryError as error:  # ArrowMemoryError is one
        raise limit("reading it takes more memory than is allowed") from error
    except NotImplementedError as error:  # ArrowNotImplementedError is one
        raise unsupported(
            "it uses a part of the format that is rare. Save plain numbers and lists"
        ) from error
    except Exception as error:  # the library raises many kinds, OSError among them
        raise malformed("its pages do not hold what its footer says") from error


def open_parquet(path: Path, *, limit_bytes: int) -> Source:
    """The records of a Parquet file.

    Raises:
        NocturneInputError: `parquet.*`, `replay.schema`, `replay.expansion_limit`, `records.rights`.
    """
    return open_table([ParquetShard(path, limit_bytes=limit_bytes)], limit_bytes=limit_bytes)


def open_table(shards: Sequence[Shard], *, limit_bytes: int, label: str = "", lists: str = "") -> Source:
    """The records of a table that lies in some files, one behind the other.

    Args:
        label: the column of the labels; "": it is called y or label.
        lists: the column of lists of numbers; "": it is called x, if there is one.

    Raises:
        NocturneInputError: as `open_parquet`.
    """
    rows = sum(shard.rows for shard in shards)
    if rows > limits.ROWS:
        raise limit(f"it claims {rows:,} rows; at most {limits.ROWS:,} fit one set")
    table = _Table.open(shards, label, lists or "x")
    labels, rights = _labels(table, rows)
    width = table.width(table.lists) if table.listed else len(table.columns.x)
    dtype = table.x_dtype()
    if rows * width * dtype.itemsize > limit_bytes:
        raise refuse(
            "replay.expansion_limit",
            f"The records take {rows * width * dtype.itemsize:,} bytes and there is room for "
            f"{limit_bytes:,}. Split the set.",
        )
    z_width = table.width("logits") if "logits" in table.types else len(table.columns.logits)
    return Source(
        labels=labels,
        x_dtype=dtype,
        x_shape=(width,),
        x=table.numbers((table.lists,) if table.listed else table.names(table.columns.x), width, dtype),
        z_width=z_width or None,
        z=table.numbers(
            ("logits",) if "logits" in table.types else table.names(table.columns.logits),
            z_width,
            np.dtype("<f4"),
        ),
        transform=None,
        classes=None,
        rights=rights,
        bad=table.bad,
    )


@dataclass(frozen=True)
class _Table:
    """Open files: their columns by their purpose, and their Arrow types by name."""

    shards: Sequence[Shard]
    rows: int
    columns: Columns
    types: dict[str, Any]
    lists: str
    listed: bool
    bad: BadRows

    @classmethod
    def open(cls, shards: Sequence[Shard], label: str, lists: str) -> _Table:
        fields: dict[str, Any] = {}
        for shard in shards:
            schema = shard.schema()
            with library_errors():
                found = {field.name: field.type for field in schema if not field.name.startswith(_INDEX)}
                if len(found) != len([name for name in schema.names if not name.startswith(_INDEX)]):
                    raise _columns("two columns of the same name")
                if fields and found != fields:
                    raise malformed("its parts have other columns than the first one")
            fields = found
        listed = lists in fields and _element(fields[lists]) is not None
        try:
            raw = tuple(name for name in fields if name != "logits")
            known = tuple("y" if name == label else name for name in raw)
            columns = replace(assign(known, what="file"), names=raw)
        except NocturneInputError as error:
            raise refuse("parquet.columns", error.message) from error
        rows = sum(shard.rows for shard in shards)
        table = cls(shards, rows, columns, fields, lists, listed, BadRows("row"))
        table._check()
        return table

    def _check(self) -> None:
        if self.listed and self.names(self.columns.x) != (self.lists,):
            other = next(name for name in self.names(self.columns.x) if name != self.lists)
            raise _columns(f"the lists {self.lists} and a column “{shorten(other, 40)}” beside them")
        for name in self.names(self.columns.x + self.columns.logits):
            if number_type(_element(self.types[name]) or self.types[name]) is None:
                raise _columns(f"a column “{shorten(name, 40)}” that holds no plain numbers")
        if "logits" in self.types and (
            self.columns.logits or number_type(_element(self.types["logits"])) is None
        ):
            raise _columns("logits that are no lists of numbers")
        label = number_type(self.types[self.label])
        if label is None or label.kind not in "iu":
            raise _columns(f"a column “{shorten(self.label, 40)}” that holds no whole numbers")
        if not self.listed and any(_element(self.types[name]) for name in self.names(self.columns.x)):
            raise _columns("lists of numbers in a column that is not named x")

    @property
    def label(self) -> str:
        return self.columns.names[self.columns.y]

    def names(self, places: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(self.columns.names[at] for at in places)

    def x_dtype(self) -> np.dtype[Any]:
        """The narrowest number format that keeps all columns."""
        kinds = [number_type(_element(self.types[n]) or self.types[n]) for n in self.names(self.columns.x)]
        found = np.result_type(*[kind for kind in set(kinds) if kind is not None])
        if found.kind == "b":
            return np.dtype(np.uint8)
        return np.dtype("<f8") if found.kind == "u" and found.itemsize > 2 else found.newbyteorder("<")

    def batches(self, names: tuple[str, ...], rows: int) -> Iterator[tuple[int, list[Any]]]:
        """(first row, columns in the order of `names`), some rows at a time."""
        yield from column_batches(self.shards, names, rows)

    def width(self, name: str) -> int:
        """How many numbers the first row's list has."""
        for _, (column,) in self.batches((name,), 1):
            with library_errors():
                return int(column.value_lengths()[0].as_py() or 0)
        return 0

    def numbers(
        self, names: tuple[str, ...], width: int, dtype: np.dtype[Any]
    ) -> Callable[[int], Iterator[NDArray[Any]]]:
        """Blocks [n, width] of a list column, or of as many columns of numbers."""

        def blocks(rows: int) -> Iterator[NDArray[Any]]:
            for row, columns in self.batches(names, rows):
                with library_errors():
                    parts = [
                        self.plain(column, name, row, width if self._lists(name) else None)
                        for name, column in zip(names, columns, strict=True)
                    ]
                    found = parts[0] if self._lists(names[0]) else np.stack(parts, axis=1)
                    yield found.astype(dtype, copy=False)

        return blocks

    def plain(self, column: Any, name: str, row: int, width: int | None) -> NDArray[Any]:
        """A batch's column as numbers: [n], or [n, width] of lists, with zeros in bad rows."""
        gaps = _gaps(column)
        if width is None:
            for place in np.flatnonzero(gaps):
                self.mark(row + int(place), f"{shorten(name, 40)} is empty")
            full = column.fill_null(0) if gaps.any() else column
            found: NDArray[Any] = full.to_numpy(zero_copy_only=False)
            return found
        lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        for place in np.flatnonzero(gaps | (lengths != width)):
            what = "is empty" if gaps[place] else (
                f"has {int(lengths[place]):,} numbers, the first row has {width:,}"
            )  # fmt: skip
            self.mark(row + int(place), f"{name} {what}")
        good = np.flatnonzero(~gaps & (lengths == width))
        flat = (column if len(good) == len(column) else column.take(_indices(good))).flatten()
        holes = _gaps(flat)
        for place in np.unique(np.flatnonzero(holes) // max(width, 1)):
            self.mark(row + int(good[place]), f"{name} has a gap")
        values: NDArray[Any] = (flat.fill_null(0) if holes.any() else flat).to_numpy(zero_copy_only=False)
        values = values.reshape(len(good), width)
        if len(good) == len(column):
            return values
        whole = np.zeros((len(column), width), values.dtype)
        whole[good] = values
        return whole

    def mark(self, row: int, what: str) -> None:
        self.bad.mark(row, self.rows, row + 1, refuse("replay.schema", what))

    def _lists(self, name: str) -> bool:
        return _element(self.types[name]) is not None


def column_batches(
    shards: Sequence[Shard], names: tuple[str, ...], rows: int
) -> Iterator[tuple[int, list[Any]]]:
    """(first row, columns in the order of `names`) of all files, some rows at a time; no more rows than each
    file said that it has."""
    row = 0
    for shard in shards:
        first = row
        for batch in shard.batches(names, rows):
            with library_errors():
                # The library gives them in the file's order.
                found = {name: batch.column(at) for at, name in enumerate(batch.schema.names)}
                if found.keys() != set(names):
                    raise malformed("its pages belong to other columns than its footer says")
                if row + batch.num_rows > first + shard.rows:
                    raise malformed("it has more rows than its footer says")
            yield row, [found[name] for name in names]
            row += batch.num_rows
        if row != first + shard.rows:
            raise malformed("it has fewer rows than its footer says")


def library() -> Any:
    """pyarrow on one thread, with the system's own allocator."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    return pa


def _library(handle: Any, columns: int) -> Any:
    """The file as pyarrow reads it: one thread, no read-ahead, no memory map."""
    library()
    import pyarrow.parquet as pq

    return pq.ParquetFile(
        handle,
        memory_map=False,
        pre_buffer=False,
        buffer_size=max(4096, min(2**20, _BUFFER // columns)),
        thrift_string_size_limit=limits.FOOTER_BYTES,
        thrift_container_size_limit=limits.FOOTER_ITEMS,
    )


def _gaps(column: Any) -> NDArray[np.bool_]:
    if not column.null_count:
        return np.zeros(len(column), np.bool_)
    found: NDArray[np.bool_] = column.is_null().to_numpy(zero_copy_only=False)
    return found


def _indices(rows: NDArray[np.int64]) -> Any:
    import pyarrow as pa

    return pa.array(rows)


def _element(kind: Any) -> Any:
    """The type of a list's elements; None for what is no list."""
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return kind.value_type
    return None


def number_type(kind: Any) -> np.dtype[Any] | None:
    import pyarrow as pa

    if kind is None or not (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    ):
        return None
    found: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
    return found


def _labels(table: _Table, rows: int) -> tuple[NDArray[np.int64], Any]:
    """[N] labels, and what the records say of their rights."""
    names = (table.label, *table.names(tuple(table.columns.rights.values())))
    rights = RightsColumns()
    labels = np.empty(rows, np.int64)
    for row, (column, *more) in table.batches(names, BATCH):
        with library_errors():
            found = table.plain(column, table.label, row, None)
            if found.dtype.kind == "u" and len(found) and int(found.max()) > 2**62:
                for place in np.flatnonzero(found > 2**62):
                    table.mark(row + int(place), f"{table.label} is {int(found[place])}")
                found = np.where(found > 2**62, 0, found)
            labels[row : row + len(found)] = found
            _rights(table, rights, dict(zip(table.columns.rights, more, strict=True)), row, len(found))
    return labels, rights.made()


def _rights(table: _Table, rights: RightsColumns, told: dict[str, Any], row: int, count: int) -> None:
    columns = {name: seconds(column).to_pylist() for name, column in told.items()}
    for at in range(count):
        given = {name: values[at] for name, values in columns.items()}
        try:
            rights.add(given)
        except NocturneInputError as error:
            if error.code != "replay.schema":
                raise
            table.mark(row + at, error.message)
            rights.add({})


def seconds(column: Any) -> Any:
    """Moments as seconds since 1970, which have no last year; other columns as they are."""
    import pyarrow as pa

    if pa.types.is_temporal(column.type):
        return column.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    return column


def _columns(what: str) -> NocturneInputError:
    return refuse(
        "parquet.columns",
        f"The Parquet file has {what}. Needed: y or label, and x as lists or one column a number; perhaps "
        "logits.",
    )
