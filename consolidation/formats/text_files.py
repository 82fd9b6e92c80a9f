"""Files of texts, whatever their format: rows with named columns, or plain text for a language model."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from consolidation.errors import NocturneInputError
from consolidation.formats import limits
from consolidation.formats.csv_rows import LABELS, decoded
from consolidation.formats.jsonl import parse_line
from consolidation.formats.lines import numbered_lines, open_text
from consolidation.formats.mapping import guess
from consolidation.formats.parquet import ParquetShard, Shard, column_batches, library_errors, seconds
from consolidation.formats.parquet_footer import limit
from consolidation.formats.record_rights import SPELLINGS
from consolidation.formats.refusal import refuse
from consolidation.formats.text_rows import LanguageTexts, TextRows, text_rows
from consolidation.formats.token_spool import TokenSpool

if TYPE_CHECKING:
    from consolidation.formats.source import Source
    from consolidation.formats.texts import TextOptions, TokenizerFile

_BOM: Final = b"\xef\xbb\xbf"
_FIRST: Final = 20  # lines that are looked at to know what a file holds
_BATCH: Final = 64  # rows of a Parquet file at a time; a text may be long
_TABLE: Final = (".csv", ".tsv")


class TextFile:
    """A file that may hold texts.

    Args:
        path: the file.
        kind: as `sniff` says: "json", "text" or "parquet".
        name: the person's name for it, in small letters, without `.gz`.
        model: what the current checkpoint wants; None: it is no text model, or there is none.
        options: what the person says.
    """

    def __init__(
        self, path: Path, kind: str, name: str, model: TokenizerFile | None, options: TextOptions
    ) -> None:
        self._path, self._model, self._options = path, model, options
        self._kind, self._name = kind, name

    def holds_texts(self) -> bool:
        """Whether it is to be read as texts: it was said so, or the columns' names say so.

        Raises:
            NocturneInputError: as its format's reader does, of the first lines.
        """
        if self._options.mapping:
            return True
        if self._plain():
            return True
        columns = self._columns()
        if "x" in columns or not columns:
            return False
        if self._model is None:
            # Without a model nobody knows how a text is cut; the sentence says so.
            return self._kind == "json" and any(
                guess(columns, kind) for kind in ("classification", "language", "extractive-qa")
            )
        if guess(columns, self._model.objective) is not None:
            return True
        return self._kind == "json" or (self._kind == "text" and self._words_below())

    def _words_below(self) -> bool:
        """Whether a column of a CSV holds nothing but words in the first rows, and tells neither a label nor
        whose the records are."""
        with open_text(self._path) as handle:
            rows: list[list[str]] = []
            with contextlib.suppress(csv.Error, NocturneInputError):
                rows += islice(filter(None, _Table(handle).rows), _FIRST)
        names = [name.strip().lower() for name in rows[0]] if rows else []
        besides = {*SPELLINGS, *LABELS}
        for at, name in enumerate(names):
            fields = [row[at] for row in rows[1:] if at < len(row) and row[at].strip()]
            if name not in besides and fields and not any(map(_is_number, fields)):
                return True
        return False

    def source(self, *, spool: Path, limit_bytes: int, stack: ExitStack) -> Source:
        """The records.

        Raises:
            NocturneInputError: `records.tokenizer`, `records.mapping`, `records.token`, `replay.*`, and those
                of the format.
        """
        model = _model(self._model)
        out = TokenSpool(spool, limit_bytes=limit_bytes, dtype=model.dtype)
        stack.callback(out.close)
        if self._plain():
            _documents(self._path, LanguageTexts(model, self._options, out, ["text"]))
            return out.source()
        rows = text_rows(model, self._options, out, self._columns())
        if self._kind == "parquet":
            _table([ParquetShard(self._path, limit_bytes=limit_bytes)], rows)
        else:
            with open_text(self._path) as handle:
                (_jsonl if self._kind == "json" else _csv)(handle, rows)
        return replace(out.source().relabelled(rows.ranks()), label_names=tuple(rows.label_names()))

    def _plain(self) -> bool:
        language = self._model is not None and self._model.objective == "language"
        return language and self._kind == "text" and not self._name.endswith(_TABLE)

    def _columns(self) -> list[str]:
        """Names of the columns, as far as the beginning tells."""
        if self._kind == "parquet":
            return list(ParquetShard(self._path, limit_bytes=2**62).schema().names)
        with open_text(self._path) as handle:
            if self._kind == "json":
                return _keys(handle)
            table = _Table(handle)
            try:
                return [name.strip() for name in next(table.rows)]
            except (StopIteration, csv.Error, NocturneInputError):
                return []


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _keys(handle: BinaryIO) -> list[str]:
    """The keys of the first lines that can be read; "x" counts in the very first one only, which decides
    whether a file holds numbers."""
    found: dict[str, None] = {}
    for number, line in numbered_lines(handle):
        if number > _FIRST:
            break
        if line is None or not line.strip():
            continue
        try:
            row = parse_line(line, first=number == 1, keys=None)
        except NocturneInputError:
            continue
        found |= dict.fromkeys(key for key in row if key != "x" or not found)
    return list(found)


def _jsonl(handle: BinaryIO, rows: TextRows) -> None:
    for number, line in numbered_lines(handle):
        try:
            if line is None:
                raise refuse(
                    "jsonl.line_limit",
                    f"it is longer than {limits.LINE_BYTES:,} bytes; write one record a line",
                )
            if not line.strip():
                continue
            row = parse_line(line, first=number == 1, keys=None)
            if "x" in row and "x" not in rows.columns:
                raise refuse("replay.schema", 'it holds numbers ("x") beside texts. Use one of the two')
        except NocturneInputError as error:
            rows.spool.bad(number, error)
        else:
            rows.take(number, row)


class _Lines:
    """Decoded lines for the csv module; whatever is wrong with one is raised when it is asked for."""

    def __init__(self, handle: BinaryIO) -> None:
        self._lines = numbered_lines(handle)
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        if line is None:
            raise refuse("csv.line_limit", f"it is longer than {limits.LINE_BYTES:,} bytes")
        return decoded(line.removeprefix(_BOM) if self.number == 1 else line) + "\n"


class _Table:
    """A CSV file whose quoted fields may hold line ends (RFC 4180)."""

    def __init__(self, handle: BinaryIO) -> None:
        start = handle.peek(limits.LINE_BYTES)[: limits.LINE_BYTES] if hasattr(handle, "peek") else b""
        first = start.partition(b"\n")[0]
        self.lines = _Lines(handle)
        delimiter = max(",;\t", key=lambda sign: first.count(sign.encode()))
        self.rows = csv.reader(self.lines, delimiter=delimiter, strict=True)


def _csv(handle: BinaryIO, rows: TextRows) -> None:
    table = _Table(handle)
    names: list[str] = []
    while True:
        number = table.lines.number + 1
        try:
            fields = next(table.rows)
            if not fields:
                continue
            if not names:
                names = [name.strip() for name in fields]
                _check_names(names)
                continue
            if len(fields) != len(names):
                raise refuse(
                    "replay.schema", f"it has {len(fields):,} fields, the first line has {len(names):,}"
                )
        except StopIteration:
            return
        except csv.Error:
            error = refuse("csv.syntax", "its quotes do not close, or a field is longer than 128 KB")
            rows.spool.bad(number, error)
        except NocturneInputError as error:
            if error.code == "csv.header":
                raise
            rows.spool.bad(number, error)
            if not names:  # without a header nothing that follows can be judged
                return
        else:
            rows.take(number, dict(zip(names, fields, strict=True)))


def _check_names(names: list[str]) -> None:
    if len(names) > limits.COLUMNS:
        raise refuse("csv.header", f"The first line names {len(names):,} columns; that is too many.")
    if len(set(names)) != len(names):
        raise refuse("csv.header", "The first line has a column twice. Give every column a name of its own.")


def _table(shards: Sequence[Shard], rows: TextRows) -> None:
    """Only the columns that are read; a batch at a time, on one thread.

    A text that a file holds once may stand in all of its rows, which no footer tells: letters are counted.
    """
    known = shards[0].schema().names
    most = max(limits.ARCHIVE_RATIO_FROM, limits.ARCHIVE_RATIO * sum(shard.size for shard in shards))
    letters = 0
    there = tuple(name for name in known if name in set(rows.columns))
    for first, columns in column_batches(shards, there, _BATCH):
        with library_errors():
            values = [seconds(column).to_pylist() for column in columns]
        letters += sum(len(value) for column in values for value in column if isinstance(value, str))
        if letters > most:
            raise limit(
                f"its texts are more than {most:,} letters, over {limits.ARCHIVE_RATIO} times its size"
            )
        for number, row in enumerate(zip(*values, strict=True), first + 1):
            rows.take(number, dict(zip(there, row, strict=True)))


def table_texts(
    shards: Sequence[Shard],
    model: TokenizerFile | None,
    options: TextOptions,
    *,
    spool: Path,
    limit_bytes: int,
    stack: ExitStack,
) -> Source:
    """The records of a table of texts that lies in some files. Raises as `TextFile.source`."""
    file = _model(model)
    out = TokenSpool(spool, limit_bytes=limit_bytes, dtype=file.dtype, unit="row")
    stack.callback(out.close)
    rows = text_rows(file, options, out, list(shards[0].schema().names))
    _table(shards, rows)
    return replace(out.source().relabelled(rows.ranks()), label_names=tuple(rows.label_names()))


def _model(model: TokenizerFile | None) -> TokenizerFile:
    if model is None:
        raise refuse(
            "records.tokenizer",
            "The file holds texts, and the project has no text model to read them. Upload the model with "
            "its tokenizer.json first, and make it the current checkpoint.",
        )
    return model


def _documents(path: Path, rows: LanguageTexts) -> None:
    """Plain text: a blank line ends a document, and no block reaches from one document into the next."""
    lines: list[str] = []
    first = size = 0

    def end() -> None:
        text = "\n".join(lines)
        lines.clear()
        if not text.strip():
            return
        try:
            rows.document(first, text, {})
        except NocturneInputError as error:
            # A heading of one word has nothing that follows, which is no fault of the file.
            if error.code != "records.token" or "fewer than two" not in error.message:
                rows.spool.bad(first, error)

    with open_text(path) as handle:
        for number, line in numbered_lines(handle):
            try:
                if line is None:
                    raise refuse("text.line_limit", f"it is longer than {limits.LINE_BYTES:,} bytes")
                text = _utf8(line.removeprefix(_BOM) if number == 1 else line)
            except NocturneInputError as error:
                rows.spool.bad(number, error)
                continue
            if not lines:
                first, size = number, 0
            size += len(text)
            if text.strip():
                lines.append(text)
            # What is longer than any line may be is cut here, so that memory stays flat.
            if not text.strip() or size > limits.LINE_BYTES:
                end()
    end()


def _utf8(line: bytes) -> str:
    """A line of plain text. Raises NocturneInputError (`text.encoding`)."""
    if b"\0" in line:
        raise refuse("text.encoding", "it holds a zero byte (UTF-16?); save the file as UTF-8")
    try:
        return line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise refuse(
            "text.encoding", f"it is not UTF-8 (byte {error.start + 1} of the line); save the file as UTF-8"
        ) from error
