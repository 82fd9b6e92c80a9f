"""Records from JSON Lines: one object a line, {"x": [...], "y": 3} and perhaps "logits"; checked one by one.

A bad line does not stop the reading: the first twenty are reported with their numbers, and how many there
are. Good rows are spooled to disk as float32 beside the output, so memory stays flat.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NoReturn

import numpy as np

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.refusal import refuse

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KEYS: Final = frozenset({"x", "y", "logits"})


class Rows:
    """The rows of one file, spooled.

    Attributes:
        labels: the y of every row.
        lines: the line number of every row.
        x_shape: the shape of one record.
        logits: the number of stored logits a row, or None.
    """

    def __init__(self, path: Path, spool: Path, *, limit_bytes: int) -> None:
        self.labels, self.lines = array("q"), array("q")
        self.x_shape: tuple[int, ...] | None = None
        self.logits: int | None = None
        self._x_spool, self._z_spool = spool.with_suffix(".x"), spool.with_suffix(".z")
        self._limit = limit_bytes
        self._bad: list[dict[str, Any]] = []
        self._bad_total = 0
        try:
            with self._x_spool.open("xb") as x_file, self._z_spool.open("xb") as z_file:
                self._read(path, x_file, z_file)
            if self._bad:
                raise _report(self._bad, self._bad_total)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the spool."""
        self._x_spool.unlink(missing_ok=True)
        self._z_spool.unlink(missing_ok=True)

    def x_blocks(self, rows: int) -> Iterator[NDArray[np.float32]]:
        """The records, `rows` at a time: [n, *x_shape] float32."""
        return self._blocks(self._x_spool, rows, self.x_shape or (0,))

    def z_blocks(self, rows: int) -> Iterator[NDArray[np.float32]]:
        """The stored logits, `rows` at a time: [n, classes] float32."""
        return self._blocks(self._z_spool, rows, (self.logits or 0,))

    @staticmethod
    def _blocks(spool: Path, rows: int, shape: tuple[int, ...]) -> Iterator[NDArray[np.float32]]:
        count = 4 * rows * int(np.prod(shape))
        with spool.open("rb") as handle:
            while piece := handle.read(count):
                yield np.frombuffer(piece, dtype="<f4").reshape(-1, *shape)

    def _read(self, path: Path, x_file: BinaryIO, z_file: BinaryIO) -> None:
        with path.open("rb") as handle:
            for number, line in _lines(handle):
                try:
                    if line is None:
                        raise refuse(
                            "jsonl.line_limit",
                            f"it is longer than {limits.LINE_BYTES:,} bytes; write one record a line",
                        )
                    if line.strip():
                        self._row(number, parse_line(line, first=number == 1), x_file, z_file)
                except NocturneInputError as error:
                    if error.code in {"replay.expansion_limit", "records.rows"}:
                        raise
                    self._bad_total += 1
                    if len(self._bad) < limits.BAD_LINES_SHOWN:
                        self._bad.append({"line": number, "code": error.code, "message": error.message})

    def _row(self, number: int, row: dict[str, Any], x_file: BinaryIO, z_file: BinaryIO) -> None:
        label = row.get("y")
        if "x" not in row or type(label) is not int or not -(2**62) < label < 2**62:
            raise refuse("replay.schema", 'it needs "x" (numbers) and "y" (a whole number)')
        x = _numbers(row["x"], "x")
        if x.ndim == 0 or x.size == 0:
            raise refuse("replay.schema", '"x" must be a list of at least one number')
        if self.x_shape is None:
            self.x_shape = x.shape
            self.logits = len(row["logits"]) if isinstance(row.get("logits"), list) else None
        if x.shape != self.x_shape:
            raise refuse(
                "replay.schema", f'"x" has the shape {list(x.shape)}, the first row has {list(self.x_shape)}'
            )
        if ("logits" in row) != (self.logits is not None):
            raise refuse("replay.schema", "logits must stand in every row or in none")
        if self.logits is not None:
            z = _numbers(row["logits"], "logits")
            if z.shape != (self.logits,):
                raise refuse("replay.schema", f"it has {z.size:,} logits, the first row has {self.logits}")
            z_file.write(z.tobytes())
        x_file.write(x.tobytes())
        self.labels.append(label)
        self.lines.append(number)
        if len(self.labels) > limits.ROWS:
            raise refuse(
                "records.rows", f"The file has more than {limits.ROWS:,} rows. Split it into several sets."
            )
        if x_file.tell() + z_file.tell() > self._limit:
            raise refuse(
                "replay.expansion_limit",
                f"The records take more than the {self._limit:,} bytes there is room for. Upload fewer.",
            )


def _lines(handle: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """(number, line); None for a line over the limit, which is skipped without holding it."""
    number = 0
    while line := handle.readline(limits.LINE_BYTES + 1):
        number += 1
        if len(line) > limits.LINE_BYTES and not line.endswith(b"\n"):
            while (rest := handle.readline(limits.LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield number, None
        else:
            yield number, line


def parse_line(line: bytes, *, first: bool = False) -> dict[str, Any]:
    """One line as an object with no key twice, no NaN, and nothing deeper than the limit.

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
    try:
        row = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise refuse("jsonl.syntax", f"it is not JSON (character {error.pos + 1})") from error
    if not isinstance(row, dict):
        raise refuse("replay.schema", 'it must be an object: {"x": [...], "y": 3}')
    if "\\u" in text and any("\ud800" <= c <= "\udfff" for c in json.dumps(row, ensure_ascii=False)):
        raise refuse("jsonl.encoding", "it holds half a character (a lone surrogate)")
    unknown = sorted(set(row) - _KEYS)
    if unknown:
        raise refuse("replay.schema", f"the key “{shorten(unknown[0])}” is not known; use x, y and logits")
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


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_int=_whole)


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


def _report(bad: list[dict[str, Any]], total: int) -> NocturneInputError:
    first = bad[0]
    more = ""
    if total > 1:
        numbers = ", ".join(str(item["line"]) for item in bad[1:])
        end = ", ..." if total > len(bad) else ""
        more = f" {total:,} lines are bad in all (also {numbers}{end})."
    return refuse(
        first["code"],
        f"Line {first['line']:,}: {first['message']}.{more} Nothing was kept; correct the file and upload "
        "it again.",
        lines=bad,
        total=total,
    )
