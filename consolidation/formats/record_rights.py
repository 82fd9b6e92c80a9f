"""Owner, source, licence, purpose and expiry of records as files and forms give them."""

from __future__ import annotations

import datetime as dt
import re
from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consolidation.errors import shorten
from consolidation.formats import limits
from consolidation.formats.refusal import refuse
from consolidation.memory.rights import MOST_LETTERS, MOST_WORDS, WORDS, Rights, Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Both spellings are understood; the record file has one.
SPELLINGS: Final[dict[str, str]] = {
    **{name: name for name in WORDS},
    "license": "licence",
    "expiry": "expiry",
}
_LAST: Final = 253_402_300_799  # the last second of the year 9999
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?")


class RightsColumns:
    """Grows by a row at a time. A column that no row names takes no memory."""

    def __init__(self) -> None:
        self._rows = 0
        self._texts: dict[str, dict[str, int]] = {}
        self._which: dict[str, array[int]] = {}
        self._expiry: array[int] | None = None
        self._letters = 0

    def add(self, given: Mapping[str, Any]) -> None:
        """The fields of the next row, by their names in the record file; None and "" are no answer.

        Raises:
            NocturneInputError: `replay.schema` for a value that cannot be; `records.rights` for too many
                different texts.
        """
        if not given and not self._which and self._expiry is None:
            self._rows += 1
            return
        clean = {name: _text(name, value) for name, value in given.items() if name in WORDS}
        until = expiry_of(given.get("expiry"))
        for name, text in clean.items():
            if text and name not in self._which:
                self._texts[name] = {"": 0}
                self._which[name] = array("H", bytes(2 * self._rows))
        for name, column in self._which.items():
            column.append(self._number(name, clean.get(name, "")))
        if until and self._expiry is None:
            self._expiry = array("q", bytes(8 * self._rows))
        if self._expiry is not None:
            self._expiry.append(until)
        self._rows += 1

    def _number(self, name: str, text: str) -> int:
        texts = self._texts[name]
        if text not in texts:
            self._letters += len(text)
            if len(texts) >= MOST_WORDS or self._letters > limits.RIGHTS_LETTERS:
                raise refuse(
                    "records.rights",
                    f"The records name more than {MOST_WORDS:,} different texts as {name}, or texts of more "
                    f"than {limits.RIGHTS_LETTERS:,} letters in all. Use a short name for each {name}.",
                )
            texts[text] = len(texts)
        return texts[text]

    def made(self) -> Rights:
        """The columns; "" stands where a row gave nothing."""
        fields: dict[str, Any] = {
            name: Words(tuple(self._texts[name]), np.frombuffer(column.tobytes(), "<u2"))
            for name, column in self._which.items()
        }
        if self._expiry is not None:
            fields["expiry"] = np.frombuffer(self._expiry.tobytes(), "<i8")
        return Rights(**fields)


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MOST_LETTERS:
        raise refuse("replay.schema", f'"{name}" must be a text of at most {MOST_LETTERS} letters')
    text = value.strip()
    if not text.isprintable():
        raise refuse("replay.schema", f'"{name}" holds characters that cannot be shown')
    return text


def expiry_of(value: Any) -> int:
    """Seconds since 1970 of a date ("2027-01-31"), a moment ("2027-01-31T12:00:00Z") or such seconds.

    0 for no answer: never.

    Raises:
        NocturneInputError: `replay.schema`; the message completes "Line 7: ...".
    """
    if value is None or value == "":
        return 0
    seconds = value if type(value) is int else _moment(value)
    if seconds is None:
        raise refuse(
            "replay.schema", f'"expiry" is “{shorten(value, 40)}”; a date such as 2027-01-31 is needed'
        )
    if not 0 < seconds <= _LAST:
        raise refuse(
            "replay.schema", f'"expiry" is “{shorten(value, 40)}”; it must lie between 1970 and the year 9999'
        )
    return seconds


def _moment(value: Any) -> int | None:
    if not isinstance(value, str) or not _DATE.fullmatch(value.strip()):
        return None
    try:
        moment = dt.datetime.fromisoformat(value.strip())
        return int((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


def complete(rights: Rights, told: Mapping[str, str], rows: int) -> Rights:
    """What the records say themselves, and what was told of the whole set where they say nothing.

    Args:
        told: {"owner" | "licence" | "purpose" | "source": text, "expiry": date}.

    Raises:
        NocturneInputError: `records.rights`.
    """
    fields: dict[str, Any] = {name: getattr(rights, name) for name in (*WORDS, "group", "expiry")}
    for name, value in told.items():
        if name == "expiry":
            seconds = expiry_of(value)
            own = rights.expiry
            if seconds:
                fields["expiry"] = (
                    np.full(rows, seconds, np.int64) if own is None else np.where(own == 0, seconds, own)
                )
        elif text := _text(name, value):
            fields[name] = _filled(getattr(rights, name), text)
    return Rights(**fields)


def _filled(own: Words | None, text: str) -> Words:
    if own is None:
        return Words((text,))
    if own.which is None or "" not in own.texts:
        return own
    texts = tuple(text if known == "" else known for known in own.texts)
    if len(set(texts)) == len(texts):
        return Words(texts, own.which)
    # The same text was among them already: both numbers become one.
    kept = tuple(dict.fromkeys(texts))
    table = np.array([kept.index(known) for known in texts], "<u2")
    return Words(kept, table[own.which])


def require(rights: Rights, rows: int) -> None:
    """Every record names an owner, and a licence or a purpose: somebody's word that it may be used.

    Raises:
        NocturneInputError: `replay.rights_missing` with counts.
    """
    owner = _given(rights.owner, rows)
    allowed = _given(rights.licence, rows) | _given(rights.purpose, rows)
    missing = int((~(owner & allowed)).sum())
    if missing:
        raise refuse(
            "replay.rights_missing",
            f"{missing:,} of {rows:,} records do not say whose they are and why they may be used "
            f"({int((~owner).sum()):,} without an owner, {int((~allowed).sum()):,} without a licence or a "
            "purpose), and this set requires it. Add the columns, or tell them for the whole set.",
            missing=missing,
            rows=rows,
        )


def _given(words: Words | None, rows: int) -> NDArray[np.bool_]:
    if words is None:
        return np.zeros(rows, np.bool_)
    if words.which is None:
        return np.full(rows, bool(words.texts[0]))
    return np.array([bool(text) for text in words.texts])[words.which]
