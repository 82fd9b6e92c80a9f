"""Arrow's stream files (https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format), read by
pyarrow and only after every message was held against the file.

Each message is a small flatbuffer that says how many bytes of numbers follow, and where the buffers lie in
them. What could unpack (compression), refer elsewhere (dictionaries) or ask another program (extension types)
is refused, so that no batch takes more memory than it has bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from consolidation.errors import NocturneInputError
from consolidation.formats import limits
from consolidation.formats.refusal import refuse

if TYPE_CHECKING:
    from consolidation.formats.region import Region

_CONTINUES: Final = b"\xff\xff\xff\xff"
_SCHEMA, _RECORDS = 1, 3
_MOST_BUFFERS: Final = 8 * limits.COLUMNS
_VERSION: Final = 4  # V5, since 2020


class ArrowShard:
    """A stream file in an archive.

    Attributes:
        rows: how many it has; size: bytes.

    Raises:
        NocturneInputError: `arrow.malformed`, `arrow.limit`, `arrow.unsupported`.
    """

    def __init__(self, region: Region) -> None:
        self._region, self.size = region, region.size
        self.rows = _check(region)

    def schema(self) -> Any:
        """Its columns, as pyarrow describes them."""
        with _errors(), self._region.open() as handle:
            return _library().ipc.open_stream(handle).schema

    def batches(self, names: Sequence[str], rows: int) -> Iterator[Any]:
        """Record batches of some columns, at most so many rows at a time."""
        pa = _library()
        with _errors(), self._region.open() as handle:
            known = pa.ipc.open_stream(handle).schema.names
        options = pa.ipc.IpcReadOptions(
            use_threads=False, included_fields=[at for at, name in enumerate(known) if name in names]
        )
        with self._region.open() as handle:
            with _errors():
                reader = pa.ipc.open_stream(handle, options=options)
            while True:
                with _errors():
                    try:
                        batch = reader.read_next_batch()
                    except StopIteration:
                        return
                    batch.validate(full=True)
                for start in range(0, batch.num_rows, rows):
                    yield batch.slice(start, rows)


@contextmanager
def _errors() -> Iterator[None]:
    """Whatever the library raises becomes one of our refusals; its text stays here."""
    try:
        yield
    except NocturneInputError:
        raise
    except MemoryError as error:
        raise _limit("reading it takes more memory than is allowed") from error
    except Exception as error:
        raise _malformed("its columns do not hold what it says") from error


def _library() -> Any:
    from consolidation.formats.parquet import library

    pa = library()
    import pyarrow.ipc  # noqa: F401 - pa.ipc is there only then

    return pa


def _check(region: Region) -> int:
    """Walk through all messages; how many rows they have."""
    place = rows = 0
    for count in range(limits.ARROW_BATCHES + 1):
        head = region.read(place, 8)
        if place == region.size or head == _CONTINUES + bytes(4):
            if count == 0:
                raise _malformed("it has no schema")
            if place != region.size and place + 8 != region.size:
                raise _malformed("bytes follow its end")
            return rows
        if len(head) < 8 or head[:4] != _CONTINUES:
            raise _malformed("a message does not begin as one, or it is of a version before 2020")
        length = struct.unpack("<i", head[4:])[0]
        if not 8 <= length <= limits.ARROW_METADATA:
            raise _limit(f"a message describes itself in {length:,} bytes")
        raw = region.read(place + 8, length)
        try:
            body, found = _message(raw, first=count == 0)
        except (struct.error, IndexError) as error:
            raise _malformed("a message does not say what it must") from error
        place += 8 + length + body
        if len(raw) < length or place > region.size:
            raise _malformed("it was cut off")
        rows += found
        if rows > limits.ROWS:
            raise _limit(f"it claims more than {limits.ROWS:,} rows")
    raise _limit(f"it has more than {limits.ARROW_BATCHES:,} batches")


def _message(raw: bytes, *, first: bool) -> tuple[int, int]:
    """(bytes of the body, rows) of a message."""
    message = _Table.root(raw)
    version, kind, body = message.number(0, "<h"), message.number(1, "<B"), message.number(3, "<q")
    if version != _VERSION:
        raise _unsupported("it was written by an Arrow of before 2020")
    if kind != (_SCHEMA if first else _RECORDS):
        what = "it uses dictionaries" if kind == 2 and not first else "its messages come in another order"
        raise _unsupported(what)
    if not 0 <= body <= limits.ARROW_BODY or body % 8:
        raise _limit(f"a batch claims {body:,} bytes; at most {limits.ARROW_BODY:,} are read")
    if first:
        if body:
            raise _malformed("its schema has numbers behind it")
        if b"ARROW:extension:" in raw:
            raise _unsupported("a column has an extension type, which another program defines")
        return 0, 0
    batch = message.table(2)
    rows = batch.number(0, "<q")
    if batch.has(3):
        raise _unsupported("it is compressed")
    if not 0 <= rows <= limits.ROWS:
        raise _limit(f"a batch claims {rows:,} rows")
    for length, nulls in batch.pairs(1):
        if not 0 <= nulls <= length <= max(8 * body, limits.ROWS):
            raise _malformed("a column claims more values than its batch can hold")
    for offset, length in batch.pairs(2):
        if not (0 <= offset <= body and 0 <= length <= body - offset):
            raise _malformed("a column reaches outside of its batch")
    return body, rows


class _Table:
    """A table of a flatbuffer (https://flatbuffers.dev/internals): fields by number, each where it says.

    Raises:
        struct.error, IndexError: it reaches outside of the message.
    """

    def __init__(self, raw: bytes, place: int) -> None:
        self._raw, self._place = raw, place
        self._fields = place - struct.unpack_from("<i", raw, place)[0]
        if place < 0 or self._fields < 0:
            raise IndexError(place)
        self._size = struct.unpack_from("<H", raw, self._fields)[0]

    @classmethod
    def root(cls, raw: bytes) -> _Table:
        return cls(raw, struct.unpack_from("<I", raw, 0)[0])

    def _at(self, field: int) -> int:
        """Where a field lies; 0: it is not there."""
        slot = 4 + 2 * field
        if slot + 2 > self._size:
            return 0
        offset: int = struct.unpack_from("<H", self._raw, self._fields + slot)[0]
        return self._place + offset if offset else 0

    def has(self, field: int) -> bool:
        return self._at(field) != 0

    def number(self, field: int, kind: str) -> int:
        place = self._at(field)
        return int(struct.unpack_from(kind, self._raw, place)[0]) if place else 0

    def _target(self, field: int) -> int:
        place = self._at(field)
        if not place:
            raise IndexError(field)
        return place + int(struct.unpack_from("<I", self._raw, place)[0])

    def table(self, field: int) -> _Table:
        return _Table(self._raw, self._target(field))

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """A vector of structs of two 64-bit numbers."""
        if not self.has(field):
            return []
        place = self._target(field)
        count = struct.unpack_from("<I", self._raw, place)[0]
        if count > _MOST_BUFFERS:
            raise _limit(f"a batch has {count:,} buffers; at most {_MOST_BUFFERS:,} are read")
        numbers = struct.unpack_from(f"<{2 * count}q", self._raw, place + 4)
        return list(zip(numbers[::2], numbers[1::2], strict=True))


def _malformed(what: str) -> NocturneInputError:
    return refuse(
        "arrow.malformed",
        f"An Arrow file of the dataset is damaged: {what}. Nothing was taken in; save or copy it again.",
    )


def _limit(what: str) -> NocturneInputError:
    return refuse(
        "arrow.limit",
        f"An Arrow file of the dataset was not read: {what}. If it is honest, save it in smaller files.",
    )


def _unsupported(what: str) -> NocturneInputError:
    return refuse(
        "arrow.unsupported",
        f"An Arrow file of the dataset is not read here: {what}. Save the dataset by to_parquet, then upload "
        "that.",
    )
