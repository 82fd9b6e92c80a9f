"""Records from CSV (RFC 4180): a header line, then a record a line; comma, semicolon or tab between fields.

The column `y` or `label` is the label, `logits_0`, `logits_1`, ... are logits, columns named owner, source,
licence, purpose or expiry say just that, and every other column is a number of x, in the order of the file.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.lines import numbered_lines
from consolidation.formats.record_rights import SPELLINGS
from consolidation.formats.refusal import refuse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from consolidation.formats.spool import RowSpool

_LOGIT: Final = re.compile(r"logits?_(\d{1,7})")
_WHOLE: Final = re.compile(r"-?\d{1,18}(\.0*)?")
_DIGITS: Final = b"0123456789- \r\n"
_ODD: Final = re.compile(r"[^0-9+\-.eE ]")
_SHOWABLE: Final = re.compile(r"[\w.,+\- ]{1,40}")
_BOM: Final = b"\xef\xbb\xbf"
LABELS: Final = ("y", "label")


@dataclass(frozen=True)
class Columns:
    """What each column of a table is for.

    Attributes:
        names: all names, in file order.
        y: the place of the label.
        x: places of the numbers of x.
        logits: places of the logits, in the order of the classes.
        rights: place by the name that the record file has for it.
    """

    names: tuple[str, ...]
    y: int
    x: tuple[int, ...]
    logits: tuple[int, ...]
    rights: dict[str, int]


def read_csv(handle: BinaryIO, spool: RowSpool) -> None:
    """Every line of an open file; bad ones are remembered by the spool.

    Raises:
        NocturneInputError: `csv.header`; `csv.encoding`, `csv.line_limit`, `csv.syntax` in the header;
            `replay.expansion_limit`, `records.rows`, `gzip.malformed`, `records.rights`.
    """
    columns: Columns | None = None
    delimiter = ","
    for number, line in numbered_lines(handle):
        try:
            if line is None:
                raise refuse("csv.line_limit", f"it is longer than {limits.LINE_BYTES:,} bytes")
            if not line.strip():
                continue
            if columns is None:
                text = decoded(line.removeprefix(_BOM))
                delimiter = max(",;\t", key=text.count)
                columns = assign(_fields(text, delimiter))
            else:
                _row(number, line, columns, delimiter, spool)
        except NocturneInputError as error:
            if error.code == "csv.header":
                raise
            spool.bad(number, error)
            if columns is None:  # without a header nothing that follows can be judged
                return


def assign(names: Sequence[str], *, what: str = "first line") -> Columns:
    """The columns by their names.

    Args:
        names: as they stand in the file.
        what: where they stand, for sentences.

    Raises:
        NocturneInputError: `csv.header`.
    """
    clean = tuple(name.strip() for name in names)
    if len(clean) > limits.COLUMNS:
        raise refuse(
            "csv.header",
            f"The {what} names {len(clean):,} columns; at most {limits.COLUMNS:,} are read. Save wide "
            "records as npz.",
        )
    lower = [name.lower() for name in clean]
    if "" in lower or len(set(lower)) != len(lower):
        times = Counter(lower)
        wrong = next(name for name in lower if name == "" or times[name] > 1)
        how = f"the column “{shorten(wrong, 40)}” twice" if wrong else "a column without a name"
        raise refuse("csv.header", f"The {what} has {how}. Give every column a name of its own.")
    labels = [lower.index(name) for name in LABELS if name in lower]
    if len(labels) != 1:
        how = "has both y and label" if labels else "names no column y or label"
        raise refuse(
            "csv.header",
            f"The {what} {how}. It must name the columns: one y or label, and one for each number of a "
            "record.",
        )
    logits = {int(found[1]): at for at, name in enumerate(lower) if (found := _LOGIT.fullmatch(name))}
    if sorted(logits) != list(range(len(logits))):
        raise refuse(
            "csv.header", f"The {what} does not name the logits 0, 1, 2, ... without a gap, each once."
        )
    rights: dict[str, int] = {}
    for at, name in enumerate(lower):
        if name in SPELLINGS and rights.setdefault(SPELLINGS[name], at) != at:
            raise refuse("csv.header", f"The {what} has the column {name} in two spellings. Keep one.")
    taken = {labels[0], *logits.values(), *rights.values()}
    x = tuple(at for at in range(len(clean)) if at not in taken)
    if not x:
        raise refuse("csv.header", f"The {what} names a label and no numbers. Add the columns of x.")
    return Columns(clean, labels[0], x, tuple(logits[k] for k in range(len(logits))), rights)


def _row(number: int, line: bytes, columns: Columns, delimiter: str, spool: RowSpool) -> None:
    # Most lines are numbers only and need no second look at their text; whole ones are read faster.
    odd = line.translate(None, _DIGITS + delimiter.encode())
    plain = not odd.translate(None, b"+.eE") and b"\r" not in line.rstrip(b"\r\n")
    text = line.decode("ascii").rstrip("\r\n") if plain else decoded(line)
    fields = text.split(delimiter) if plain else _fields(text, delimiter)
    if len(fields) != len(columns.names):
        raise refuse(
            "replay.schema", f"it has {len(fields):,} fields, the first line has {len(columns.names):,}"
        )
    label = fields[columns.y].strip(" ")
    if not _WHOLE.fullmatch(label):
        raise refuse(
            "replay.schema",
            f"{columns.names[columns.y]} is no whole number, as a label must be",
        )
    rights = {name: fields[at] for name, at in columns.rights.items()}
    read = None if not plain else float if odd else int
    spool.add(
        number,
        _numbers(fields, columns.x, columns, read),
        int(label.partition(".")[0]),
        _numbers(fields, columns.logits, columns, read) if columns.logits else None,
        rights,
    )


def _numbers(
    fields: list[str], places: tuple[int, ...], columns: Columns, read: Callable[[str], float] | None
) -> NDArray[np.float32]:
    """The numbers at some places.

    Args:
        read: int or float for a line that is known to hold nothing but numbers.

    Raises:
        NocturneInputError: `csv.number`, which names the column.
    """
    picked = itemgetter(*places)(fields) if len(places) > 1 else (fields[places[0]],)
    try:
        # float() knows more spellings than a table of numbers should have: 1_000, nan, Arabic digits.
        if read is not None or _ODD.search("".join(picked)) is None:
            with np.errstate(over="ignore"):
                found = np.array(list(map(read or float, picked)), np.float64).astype("<f4")
            if np.isfinite(found).all():
                return found
    except (ValueError, OverflowError):
        pass
    at = next(at for at in places if not _is_number(fields[at]))
    field = fields[at]
    shown = f"holds “{field}”" if _SHOWABLE.fullmatch(field) else "holds something"
    what = f"{shown}, which is no number that can be replayed" if field else "is empty"
    raise refuse("csv.number", f"column {shorten(columns.names[at], 40)} {what}")


def _is_number(field: str) -> bool:
    try:
        with np.errstate(over="ignore"):
            return _ODD.search(field) is None and bool(np.isfinite(np.float32(float(field))))
    except ValueError:
        return False


def decoded(line: bytes) -> str:
    """A line as text. Raises NocturneInputError (`csv.encoding`)."""
    line = line.rstrip(b"\r\n")
    if b"\0" in line or line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refuse("csv.encoding", "it holds a zero byte (UTF-16?); save the file as UTF-8")
    if b"\r" in line:
        raise refuse("csv.encoding", "lines end with CR alone; save the file with LF line ends")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refuse(
            "csv.encoding", f"it is not UTF-8 (byte {error.start + 1} of the line); save it as “CSV UTF-8”"
        ) from error


def _fields(text: str, delimiter: str) -> list[str]:
    """One line's fields. Raises NocturneInputError (`csv.syntax`)."""
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration) as error:
        raise refuse(
            "csv.syntax", "its quotes do not close on the line, or a field is longer than 128 KB"
        ) from error
