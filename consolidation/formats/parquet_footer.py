"""What a Parquet file says of itself, compared with its own size before any library believes it.

The format: https://github.com/apache/parquet-format. Only the footer is read here; no page.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from consolidation.errors import NocturneInputError
from consolidation.formats import limits
from consolidation.formats.refusal import refuse
from consolidation.formats.region import Region
from consolidation.formats.thrift import CompactReader, Damaged

_MAGIC, _SEALED = b"PAR1", b"PARE"
_REPEATED: Final = 2


@dataclass(frozen=True)
class _Leaf:
    """A column of numbers or texts: its physical type, and whether it is inside of a list."""

    kind: int | None
    repeated: bool


def check_footer(file: Path | Region, *, limit_bytes: int) -> int:
    """Read the footer and hold it against the file; how many rows it has.

    Raises:
        NocturneInputError: `parquet.malformed`, `parquet.limit`, `parquet.unsupported`,
            `replay.expansion_limit`.
    """
    region = file if isinstance(file, Region) else Region.of(file)
    if region.read(0, 4) == _SEALED or region.read(max(0, region.size - 4)) == _SEALED:
        raise unsupported("its footer is encrypted. Save it without encryption")
    tail = region.read(max(0, region.size - 8))
    if region.size < 12 or tail[4:] != _MAGIC:
        raise malformed("it does not end as one")
    length = int.from_bytes(tail[:4], "little")
    if length > limits.FOOTER_BYTES:
        raise limit(f"its footer has {length:,} bytes; at most {limits.FOOTER_BYTES:,} are read")
    if length > region.size - 12:
        raise malformed("its footer is longer than the file")
    start = region.size - 8 - length
    try:
        meta = CompactReader(region.read(start, length), most=limits.FOOTER_ITEMS).struct()
        return _checked(meta, start, limit_bytes)
    except Damaged as error:
        raise malformed(f"its footer {error}") from error
    except (TypeError, KeyError, AttributeError, ValueError, IndexError) as error:
        if isinstance(error, NocturneInputError):
            raise
        raise malformed("its footer does not say what a footer must") from error


def _checked(meta: dict[int, Any], data_end: int, limit_bytes: int) -> int:
    if 8 in meta or 9 in meta:
        raise unsupported("it is encrypted. Save it without encryption")
    leaves = _leaves(meta[2])
    _no_extensions(meta.get(5, []))
    groups = meta.get(4, [])
    if len(groups) > limits.ROW_GROUPS:
        raise limit(f"it has {len(groups):,} row groups; at most {limits.ROW_GROUPS:,} are read")
    rows, unpacked = meta[3], 0
    if rows > limits.ROWS:
        raise limit(f"it claims {rows:,} rows; at most {limits.ROWS:,} fit one set")
    if rows < 0 or sum(group[3] for group in groups) != rows or any(group[3] < 0 for group in groups):
        raise malformed("its row groups do not add up to its rows")
    values = [0] * len(leaves)
    for group in groups:
        chunks = group[1]
        if len(chunks) != len(leaves):
            raise malformed("a row group does not have all columns")
        for index, chunk in enumerate(chunks):
            values[index] += _chunk(chunk, group[3], leaves[index], data_end)
            unpacked += chunk[3][6]
    most = max(values, default=0)
    # A bit a value, packed as well as anything may be.
    if most > max(limits.ROWS, 8 * limits.ARCHIVE_RATIO * data_end) or 4 * most > max(limit_bytes, 2**20):
        raise limit(f"one of its columns claims {most:,} values, more than it can hold or there is room for")
    if unpacked > limits.ARCHIVE_RATIO_FROM and unpacked > limits.ARCHIVE_RATIO * data_end:
        raise limit(f"it would unpack to {unpacked:,} bytes, over {limits.ARCHIVE_RATIO} times its own size")
    if unpacked > limit_bytes:
        raise refuse(
            "replay.expansion_limit",
            f"The records unpack to {unpacked:,} bytes and there is room for {limit_bytes:,}. Split the set.",
        )
    return int(rows)


def _chunk(chunk: dict[int, Any], rows: int, leaf: _Leaf, data_end: int) -> int:
    """How many values a column has in a row group."""
    if 1 in chunk:
        raise unsupported("some of its columns lie in other files. Save it as one file")
    if 8 in chunk or 9 in chunk:
        raise unsupported("some of its columns are encrypted. Save it without encryption")
    about = chunk[3]
    if about[1] != leaf.kind:
        raise malformed("a column has another type than the list of columns says")
    values, unpacked, packed = about[5], about[6], about[7]
    starts = [about[field] for field in (9, 11) if about.get(field)]
    if min(values, unpacked, packed) < 0 or min(starts) < 4 or min(starts) + packed > data_end:
        raise malformed("a column reaches outside of the file")
    if values != rows and not leaf.repeated:
        raise limit(f"a column claims {values:,} values in {rows:,} rows")
    if values < rows:
        raise malformed("a column has fewer values than rows")
    return int(values)


def _leaves(schema: list[dict[int, Any]]) -> list[_Leaf]:
    """Every column of numbers or texts, in file order."""
    found: list[_Leaf] = []
    # (children still to come, whether inside of a list) for every open group
    open_groups = [(int(schema[0].get(5, 0)), False)]
    for element in schema[1:]:
        while open_groups and open_groups[-1][0] == 0:
            open_groups.pop()
        if not open_groups:
            raise malformed("its list of columns contradicts itself")
        left, inside = open_groups[-1]
        open_groups[-1] = (left - 1, inside)
        inside = inside or element.get(3) == _REPEATED
        children = int(element.get(5, 0))
        if children < 0:
            raise malformed("its list of columns contradicts itself")
        if children:
            open_groups.append((children, inside))
            if len(open_groups) > limits.SCHEMA_DEPTH:
                raise limit(f"its columns are nested deeper than {limits.SCHEMA_DEPTH} levels")
        else:
            found.append(_Leaf(element.get(1), inside))
    if any(left for left, _ in open_groups):
        raise malformed("its list of columns contradicts itself")
    if len(found) > limits.COLUMNS:
        raise limit(
            f"it has {len(found):,} columns; at most {limits.COLUMNS:,} are read. Save wide records as one "
            "column x of lists"
        )
    return found


def _no_extensions(pairs: list[dict[int, Any]]) -> None:
    """Arrow's own description of the columns must not ask for types that other programs define."""
    for pair in pairs:
        if pair.get(1) != b"ARROW:schema":
            continue
        try:
            described = base64.b64decode(pair.get(2, b""), validate=True)
        except (binascii.Error, ValueError) as error:
            raise malformed("its description of the columns cannot be read") from error
        if b"ARROW:extension:" in described:
            raise unsupported(
                "a column has an extension type, which another program defines. Save plain numbers and lists"
            )


def malformed(what: str) -> NocturneInputError:
    """The file is not what it says."""
    return refuse(
        "parquet.malformed",
        f"The Parquet file is damaged: {what}. Nothing was kept; save or copy the file again.",
    )


def limit(what: str) -> NocturneInputError:
    """The file wants more than records need."""
    return refuse(
        "parquet.limit", f"The Parquet file was not read: {what}. If it is honest, save it in smaller files."
    )


def unsupported(what: str) -> NocturneInputError:
    """The file uses a part of the format that is not read; `what` ends with what to do."""
    return refuse("parquet.unsupported", f"The Parquet file is not read here: {what}, then upload it again.")
