"""Parquet files as an attacker would write them: a footer and pages by hand, in Thrift's compact protocol."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

STRUCT, LIST, BINARY, I32, I64, TRUE = 12, 9, 8, 5, 6, 1


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(value: int) -> bytes:
    return varint((value << 1) ^ (value >> 63))


def text(value: bytes) -> bytes:
    return varint(len(value)) + value


def fields(*parts: tuple[int, int, bytes]) -> bytes:
    """A struct of (field id, kind, value) in rising order."""
    out, before = b"", 0
    for place, kind, value in parts:
        out += bytes([(place - before) << 4 | kind]) + value
        before = place
    return out + b"\0"


def listed(kind: int, items: Sequence[bytes]) -> bytes:
    head = bytes([len(items) << 4 | kind]) if len(items) < 15 else bytes([0xF0 | kind]) + varint(len(items))
    return head + b"".join(items)


def element(
    name: bytes, *, children: int = 0, repetition: int | None = 0, physical: int | None = None
) -> bytes:
    """A column, or a group of columns."""
    parts: list[tuple[int, int, bytes]] = []
    if physical is not None:
        parts.append((1, I32, number(physical)))
    if repetition is not None:
        parts.append((3, I32, number(repetition)))
    parts.append((4, BINARY, text(name)))
    if children:
        parts.append((5, I32, number(children)))
    return fields(*parts)


def chunk(
    name: bytes, *, values: int, packed: int, unpacked: int, at: int, codec: int = 0, physical: int = 2,
    more: tuple[tuple[int, int, bytes], ...] = (), file: bytes | None = None,
) -> bytes:  # fmt: skip
    """One column of a row group."""
    about = fields(
        (1, I32, number(physical)),
        (2, LIST, listed(I32, [number(0)])),
        (3, LIST, listed(BINARY, [text(name)])),
        (4, I32, number(codec)),
        (5, I64, number(values)),
        (6, I64, number(unpacked)),
        (7, I64, number(packed)),
        (9, I64, number(at)),
    )
    first = [(1, BINARY, text(file))] if file is not None else []
    return fields(*first, (2, I64, number(at)), (3, STRUCT, about), *more)


def page(values: int, body: bytes, *, unpacked: int | None = None) -> bytes:
    """A data page (version 1, plain values) with any count of values and any size unpacked."""
    header = fields(
        (1, I32, number(0)),
        (2, I32, number(len(body) if unpacked is None else unpacked)),
        (3, I32, number(len(body))),
        (
            5,
            STRUCT,
            fields((1, I32, number(values)), (2, I32, number(0)), (3, I32, number(3)), (4, I32, number(3))),
        ),
    )
    return header + body


def parquet(footer: bytes, pages: bytes = b"", *, length: int | None = None, magic: bytes = b"PAR1") -> bytes:
    """A file with any footer and, if wanted, a false length of it."""
    size = struct.pack("<I", len(footer) if length is None else length)
    return magic + pages + footer + size + magic


def table(
    *,
    rows: int = 3,
    values: int = 3,
    unpacked: int | None = None,
    group_rows: int | None = None,
    codec: int = 0,
    y_page: bytes | None = None,
    more: tuple[tuple[int, int, bytes], ...] = (),
    meta: tuple[tuple[int, int, bytes], ...] = (),
    file: bytes | None = None,
    schema: Sequence[bytes] | None = None,
) -> bytes:
    """A valid file of columns y and a (int64, three rows), with what a test changes in it."""
    body = struct.pack("<3q", 0, 1, 2)
    first = page(3, body) if y_page is None else y_page
    second = page(3, body)
    options: dict[str, Any] = {"values": values, "codec": codec}
    size = len(first) if unpacked is None else unpacked
    chunks = [
        chunk(b"y", at=4, packed=len(first), unpacked=size, more=more, file=file, **options),
        chunk(b"a", at=4 + len(first), packed=len(second), unpacked=len(second), values=values),
    ]
    group = fields(
        (1, LIST, listed(STRUCT, chunks)),
        (2, I64, number(len(first) + len(second))),
        (3, I64, number(rows if group_rows is None else group_rows)),
    )
    named = schema or [
        element(b"schema", children=2, repetition=None),
        element(b"y", physical=2),
        element(b"a", physical=2),
    ]
    footer = fields(
        (1, I32, number(2)),
        (2, LIST, listed(STRUCT, named)),
        (3, I64, number(rows)),
        (4, LIST, listed(STRUCT, [group])),
        *meta,
    )
    return parquet(footer, first + second)


def lists(
    *, page_values: int = 3, values: int = 3, rows: int = 3, repeats: int = 0, defined: int = 1
) -> bytes:
    """Columns y and x (lists of int64, one number a row); the levels of x may run as long as wished."""

    def levels(value: int) -> bytes:
        run = varint(page_values << 1) + bytes([value])
        return struct.pack("<I", len(run)) + run

    numbers = struct.pack("<3q", 0, 1, 2)
    first, second = page(3, numbers), page(page_values, levels(repeats) + levels(defined) + numbers)
    chunks = [
        chunk(b"y", at=4, values=rows, packed=len(first), unpacked=len(first)),
        chunk(b"x", at=4 + len(first), values=values, packed=len(second), unpacked=len(second)),
    ]
    group = fields((1, LIST, listed(STRUCT, chunks)), (2, I64, number(100)), (3, I64, number(rows)))
    schema = [
        element(b"schema", children=2, repetition=None),
        element(b"y", physical=2),
        element(b"x", physical=2, repetition=2),
    ]
    footer = fields(
        (1, I32, number(2)),
        (2, LIST, listed(STRUCT, schema)),
        (3, I64, number(rows)),
        (4, LIST, listed(STRUCT, [group])),
    )
    return parquet(footer, first + second)
