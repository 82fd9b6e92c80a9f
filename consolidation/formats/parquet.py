"""Records from Parquet, by pyarrow and only after the footer was held against the file.

Columns: `y` or `label` (whole numbers), and either `x` (a list of numbers) or one column of numbers for each
value; perhaps `logits` (a list), and owner, source, licence, purpose, expiry. Read in batches on one thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.csv_rows import Columns, assign
from consolidation.formats.parquet_footer import check_footer, limit, malformed, unsupported
from consolidation.formats.record_rights import RightsColumns
from consolidation.formats.refusal import refuse
from consolidation.formats.source import Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH: Final = 8192  # rows at a time where only labels are read
_INDEX: Final = "__index_level_"  # what pandas adds for its own row labels
_BUFFER: Final = 256 * 2**20  # all columns' read buffers together


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
    rows = check_footer(path, limit_bytes=limit_bytes)
    table = _Table.open(path)
    labels, rights = _labels(table, rows)
    width = table.width("x") if table.listed else len(table.columns.x)
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
        x=table.numbers(("x",) if table.listed else table.names(table.columns.x), width, dtype),
        z_width=z_width or None,
        z=table.numbers(
            ("logits",) if "logits" in table.types else table.names(table.columns.logits),
            z_width,
            np.dtype("<f4"),
        ),
        transform=None,
        classes=None,
        place=lambda row: f"row {row + 1:,}",
        rights=rights,
    )


@dataclass(frozen=True)
class _Table:
    """An open file: its columns by their purpose, and their Arrow types by name."""

    path: Path
    columns: Columns
    types: dict[str, Any]
    listed: bool

    @classmethod
    def open(cls, path: Path) -> _Table:
        with library_errors():
            schema = open_table(path, 1).schema_arrow
            fields = {field.name: field.type for field in schema if not field.name.startswith(_INDEX)}
            if len(fields) != len([name for name in schema.names if not name.startswith(_INDEX)]):
                raise _columns("two columns of the same name")
        listed = "x" in fields and _element(fields["x"]) is not None
        try:
            raw = tuple(name for name in fields if name != "logits")
            columns = replace(assign(raw, what="file"), names=raw)
        except NocturneInputError as error:
            raise refuse("parquet.columns", error.message) from error
        table = cls(path, columns, fields, listed)
        table._check()
        return table

    def _check(self) -> None:
        if self.listed and self.names(self.columns.x) != ("x",):
            other = next(name for name in self.names(self.columns.x) if name != "x")
            raise _columns(f"the lists x and a column “{shorten(other, 40)}” beside them")
        for name in self.names(self.columns.x + self.columns.logits):
            if _number_type(_element(self.types[name]) or self.types[name]) is None:
                raise _columns(f"a column “{shorten(name, 40)}” that holds no plain numbers")
        if "logits" in self.types and (
            self.columns.logits or _number_type(_element(self.types["logits"])) is None
        ):
            raise _columns("logits that are no lists of numbers")
        label = _number_type(self.types[self.label])
        if label is None or label.kind not in "iu":
            raise _columns(f"a column “{self.label}” that holds no whole numbers")
        if not self.listed and any(_element(self.types[name]) for name in self.names(self.columns.x)):
            raise _columns("lists of numbers in a column that is not named x")

    @property
    def label(self) -> str:
        return self.columns.names[self.columns.y]

    def names(self, places: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(self.columns.names[at] for at in places)

    def x_dtype(self) -> np.dtype[Any]:
        """The narrowest number format that keeps all columns."""
        kinds = [_number_type(_element(self.types[n]) or self.types[n]) for n in self.names(self.columns.x)]
        found = np.result_type(*[kind for kind in set(kinds) if kind is not None])
        if found.kind == "b":
            return np.dtype(np.uint8)
        return np.dtype("<f8") if found.kind == "u" and found.itemsize > 2 else found.newbyteorder("<")

    def batches(self, names: tuple[str, ...], rows: int) -> Iterator[tuple[int, list[Any]]]:
        """(first row, columns in the order of `names`), some rows at a time."""
        with library_errors():
            file = open_table(self.path, len(names))
            row = 0
            for batch in file.iter_batches(batch_size=rows, columns=list(names), use_threads=False):
                # The library gives them in the file's order.
                found = {name: batch.column(at) for at, name in enumerate(batch.schema.names)}
                if found.keys() != set(names):
                    raise malformed("its pages belong to other columns than its footer says")
                yield row, [found[name] for name in names]
                row += batch.num_rows

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
                        _plain(column, name, row, width if self._lists(name) else None)
                        for name, column in zip(names, columns, strict=True)
                    ]
                    found = parts[0] if self._lists(names[0]) else np.stack(parts, axis=1)
                    yield found.astype(dtype, copy=False)

        return blocks

    def _lists(self, name: str) -> bool:
        return _element(self.types[name]) is not None


def open_table(path: Path, columns: int) -> Any:
    """The file as pyarrow reads it: one thread, no read-ahead, no memory map, the system's own allocator."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    return pq.ParquetFile(
        str(path),
        memory_map=False,
        pre_buffer=False,
        buffer_size=max(4096, min(2**20, _BUFFER // columns)),
        thrift_string_size_limit=limits.FOOTER_BYTES,
        thrift_container_size_limit=limits.FOOTER_ITEMS,
    )


def _element(kind: Any) -> Any:
    """The type of a list's elements; None for what is no list."""
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return kind.value_type
    return None


def _number_type(kind: Any) -> np.dtype[Any] | None:
    import pyarrow as pa

    if kind is None or not (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    ):
        return None
    found: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
    return found


def _plain(column: Any, name: str, row: int, width: int | None) -> NDArray[Any]:
    """A batch's column as numbers: [n], or [n, width] of lists. Raises `replay.schema` with the row."""
    if column.null_count:
        first = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise _schema(row + first, f"{shorten(name, 40)} is empty")
    if width is None:
        found: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        return found
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    if (lengths != width).any():
        first = int(np.flatnonzero(lengths != width)[0])
        raise _schema(
            row + first,
            f"{name} has {int(lengths[first]):,} numbers, the first row has {width:,}",
        )
    flat = column.flatten()
    if flat.null_count:
        first = int(np.flatnonzero(flat.is_null().to_numpy(zero_copy_only=False))[0])
        raise _schema(row + first // max(width, 1), f"{name} has a gap")
    values: NDArray[Any] = flat.to_numpy(zero_copy_only=False)
    return values.reshape(len(column), width)


def _labels(table: _Table, rows: int) -> tuple[NDArray[np.int64], Any]:
    """[N] labels, and what the records say of their rights."""
    names = (table.label, *table.names(tuple(table.columns.rights.values())))
    rights = RightsColumns()
    labels = np.empty(rows, np.int64)
    done = 0
    for row, (column, *more) in table.batches(names, BATCH):
        with library_errors():
            found = _plain(column, table.label, row, None)
            if row + len(found) > rows:
                raise malformed("it has more rows than its footer says")
            if found.dtype.kind == "u" and len(found) and int(found.max()) > 2**62:
                raise _schema(row + int(found.argmax()), f"{table.label} is {int(found.max())}")
            labels[row : row + len(found)] = found
            done += len(found)
            _rights(rights, dict(zip(table.columns.rights, more, strict=True)), row, len(found))
    if done != rows:
        raise malformed("it has fewer rows than its footer says")
    return labels, rights.made()


def _rights(rights: RightsColumns, told: dict[str, Any], row: int, count: int) -> None:
    columns = {name: seconds(column).to_pylist() for name, column in told.items()}
    for at in range(count):
        given = {name: values[at] for name, values in columns.items()}
        try:
            rights.add(given)
        except NocturneInputError as error:
            if error.code != "replay.schema":
                raise
            raise _schema(row + at, error.message) from error


def seconds(column: Any) -> Any:
    """Moments as seconds since 1970, which have no last year; other columns as they are."""
    import pyarrow as pa

    if pa.types.is_temporal(column.type):
        return column.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    return column


def _schema(row: int, what: str) -> NocturneInputError:
    return refuse(
        "replay.schema",
        f"Row {row + 1:,}: {what}. Nothing was kept; correct the file and upload it again.",
        row=row,
    )


def _columns(what: str) -> NocturneInputError:
    return refuse(
        "parquet.columns",
        f"The Parquet file has {what}. Needed: y or label, and x as lists or one column a number; perhaps "
        "logits.",
    )
