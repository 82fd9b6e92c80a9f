"""Records from JSON Lines: one object a line, {"x": [...], "y": 3}; perhaps "logits", and rights by name.

Lines of texts are read by `text_files`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NoReturn

import numpy as np

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.lines import numbered_lines
from consolidation.formats.record_rights import SPELLINGS
from consolidation.formats.refusal import refuse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from consolidation.formats.spool import RowSpool

_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]")
_KEYS: Final = frozenset({"x", "y", "logits", *SPELLINGS})


def read_jsonl(handle: BinaryIO, spool: RowSpool) -> None:
    """Every line of an open file; bad ones are remembered by the spool.

    Raises:
        NocturneInputError: `replay.expansion_limit`, `records.rows`, `gzip.malformed`, `records.rights`.
    """
    for number, line in numbered_lines(handle):
        try:
            if line is None:
                raise refuse(
                    "jsonl.line_limit",
                    f"it is longer than {limits.LINE_BYTES:,} bytes; write one record a line",
                )
            if line.strip():
                _row(number, parse_line(line, first=number == 1), spool)
        except NocturneInputError as error:
            spool.bad(number, error)


def _row(number: int, row: dict[str, Any], spool: RowSpool) -> None:
    label = row.get("y")
    if "x" not in row or type(label) is not int or not -(2**62) < label < 2**62:
        raise refuse("replay.schema", 'it needs "x" (numbers) and "y" (a whole number)')
    x = _numbers(row["x"], "x")
    if x.ndim == 0 or x.size == 0:
        raise refuse("replay.schema", '"x" must be a list of at least one number')
    z = _numbers(row["logits"], "logits") if "logits" in row else None
    if z is not None and z.ndim != 1:
        raise refuse("replay.schema", '"logits" must be a list of numbers')
    spool.add(number, x, label, z, _rights(row) if len(row) > 2 + (z is not None) else {})


def _rights(row: dict[str, Any]) -> dict[str, Any]:
    rights: dict[str, Any] = {}
    for key, name in SPELLINGS.items():
        if key in row and rights.setdefault(name, row[key]) is not row[key]:
            raise refuse("replay.schema", f'"{name}" stands there in two spellings')
    return rights


def parse_line(line: bytes, *, first: bool = False, keys: frozenset[str] | None = _KEYS) -> dict[str, Any]:
    """One line as an object with no key twice, no NaN, and nothing deeper than the limit.

    Args:
        keys: the only ones that may be there; None: any.

    Raises:
        NocturneInputError: `jsonl.*` or `replay.schema`; the message completes "Line 7: ...".
    """
    line = line.rstrip(b"\r\n")
    if first and line.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        raise refuse("jsonl.encoding", "the file begins with a byte-order mark; save it as plain UTF-8")
    if b"\0" in line:
        raise refuse("jsonl.encoding", "it holds a zero byte (UTF-16?); save the file as UTF-8")
    if b"\r" in line:
        raise refuse("jsonl.encoding", "lines end with CR alone; save the file with LF line ends")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refuse("jsonl.encoding", f"it is not UTF-8 (byte {error.start + 1} of the line)") from error
    if line.count(b"[") + line.count(b"{") > limits.JSON_DEPTH and _depth(text) > limits.JSON_DEPTH:
        raise refuse("jsonl.depth", f"it is nested deeper than {limits.JSON_DEPTH} levels")
    # The slower decoder counts digits; without a long run of them there is nothing to count.
    long = _RUN in line.translate(_AS_NINES)
    try:
        row = (_CAREFUL if long else _QUICK).decode(text)
    except json.JSONDecodeError as error:
        raise refuse("jsonl.syntax", f"it is not JSON (character {error.pos + 1})") from error
    if not isinstance(row, dict):
        raise refuse("replay.schema", 'it must be an object: {"x": [...], "y": 3}')
    if _HALF.search(text) and any("\ud800" <= c <= "\udfff" for c in json.dumps(row, ensure_ascii=False)):
        raise refuse("jsonl.encoding", "it holds half a character (a lone surrogate)")
    unknown = sorted(set(row) - keys) if keys is not None else []
    if unknown:
        raise refuse(
            "replay.schema",
            f"the key “{shorten(unknown[0])}” is not known; use x, y, logits, "
            "owner, source, licence, purpose and expiry",
        )
    return row


def _depth(text: str) -> int:
    deepest = level = 0
    quoted = escaped = False
    for c in text:
        if escaped:
            escaped = False
        elif quoted:
            escaped, quoted = c == "\\", c != '"'
        elif c == '"':
            quoted = True
        elif c in "[{":
            level += 1
            deepest = max(deepest, level)
        elif c in "]}":
            level -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise refuse("jsonl.duplicate_key", f"the key “{shorten(key)}” stands there twice")
        table[key] = value
    return table


def _constant(text: str) -> NoReturn:
    raise refuse("jsonl.number", f"{text} is not a number that can be replayed")


def _whole(text: str) -> int:
    if len(text) > limits.NUMBER_DIGITS:
        raise refuse(
            "jsonl.number", f"a number has {len(text):,} digits; at most {limits.NUMBER_DIGITS} are read"
        )
    return int(text)


_CAREFUL: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_int=_whole)
_QUICK: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant)
_AS_NINES: Final = bytes.maketrans(b"012345678", b"999999999")
_RUN: Final = b"9" * (limits.NUMBER_DIGITS + 1)


def _numbers(value: Any, key: str) -> NDArray[np.float32]:
    try:
        found = np.asarray(value)
    except ValueError as error:
        raise refuse("replay.schema", f'"{key}" has rows of different lengths') from error
    if found.dtype.kind not in "iuf" or found.ndim > limits.DIMENSIONS - 1:
        raise refuse("replay.schema", f'"{key}" must hold numbers only')
    with np.errstate(over="ignore"):
        numbers = found.astype("<f4")
    if not np.isfinite(numbers).all():
        raise refuse("jsonl.number", f'"{key}" holds a number that does not fit 32-bit floats')
    return numbers
