"""What is known of each memory besides its numbers: whose it is, what for, until when. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from consolidation.errors import NocturneInputError, shorten

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORDS = ("owner", "licence", "purpose", "source")
MOST_WORDS = 1 << 12
MOST_LETTERS = 200


@dataclass(frozen=True, slots=True)
class Words:
    """A text a record: distinct texts, and for every record (u2 [N]) which; no `which`: the same for all."""

    texts: tuple[str, ...]
    which: NDArray[np.uint16] | None = None

    @classmethod
    def of(cls, name: str, value: str | list[str] | NDArray[Any], rows: int) -> Words:
        """One text for all, or a list of `rows` texts. Raises NocturneInputError (`records.rights`)."""
        given = [value] if isinstance(value, str) else [str(text) for text in value]
        texts = tuple(dict.fromkeys(given))
        wrong = not isinstance(value, str) and len(given) != rows
        if wrong or len(texts) > MOST_WORDS or any(len(text) > MOST_LETTERS for text in texts):
            raise NocturneInputError(
                "records.rights",
                f"The {name} of the records does not fit: give one text, or one for each of {rows:,} "
                f"records, of at most {MOST_LETTERS} letters and {MOST_WORDS:,} different ones.",
            )
        if isinstance(value, str):
            return cls(texts)
        place = {text: number for number, text in enumerate(texts)}
        return cls(texts, np.array([place[text] for text in given], "<u2"))

    def __getitem__(self, row: int) -> str:
        return self.texts[0 if self.which is None else int(self.which[row])]

    def take(self, rows: Any) -> Words:
        return self if self.which is None else Words(self.texts, np.ascontiguousarray(self.which[rows]))

    def pruned(self) -> Words:
        """Without the texts of no record: a name must not outlive the last record that it stood for."""
        if self.which is None:
            return self
        used, which = np.unique(self.which, return_inverse=True)
        return Words(tuple(self.texts[int(number)] for number in used), which.astype("<u2"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """Fields of a set's records, each optional.

    Attributes:
        owner, licence, purpose, source: texts.
        group: int64 [N], for group-balanced replay and worst-group gaps.
        expiry: int64 [N], seconds since 1970 from which a record is no longer used; 0: never.
        tombstone: bool [N], true for a record that was deleted and is not yet removed from the file.
    """

    owner: Words | None = None
    licence: Words | None = None
    purpose: Words | None = None
    source: Words | None = None
    group: NDArray[np.int64] | None = None
    expiry: NDArray[np.int64] | None = None
    tombstone: NDArray[np.bool_] | None = None

    def check(self, task: str, rows: int) -> None:
        """Raises NocturneInputError (`records.rights`) when a field is of another length."""
        for item in fields(self):
            value = getattr(self, item.name)
            column = value.which if isinstance(value, Words) else value
            bad_text = isinstance(value, Words) and (
                not value.texts
                or (column is None and len(value.texts) != 1)
                or (column is not None and len(column) and int(np.max(column)) >= len(value.texts))
            )
            if bad_text or (column is not None and column.shape != (rows,)):
                raise NocturneInputError(
                    "records.rights",
                    f"The {item.name} of the records of '{shorten(task)}' does not line up with its {rows:,} "
                    "records; give one for each.",
                )

    def take(self, rows: Any) -> Rights:
        """The fields of some rows."""
        found: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None:
                found[item.name] = (
                    value.take(rows) if isinstance(value, Words) else np.ascontiguousarray(value[rows])
                )
        return Rights(**found)

    def alive(self, rows: int, now: float) -> NDArray[np.bool_]:
        """bool [N]: neither deleted nor expired at `now` (seconds since 1970)."""
        alive = np.ones(rows, np.bool_)
        if self.tombstone is not None:
            alive &= ~np.asarray(self.tombstone)
        if self.expiry is not None:
            expiry = np.asarray(self.expiry)
            alive &= (expiry == 0) | (expiry > now)
        return alive

    def pruned(self) -> Rights:
        """The same fields without texts that no record has."""
        words = {name: getattr(self, name) for name in WORDS}
        return replace(self, **{name: told.pruned() for name, told in words.items() if told is not None})

    @property
    def next_expiry(self) -> int:
        """When the first of the records expires, in seconds since 1970; 0: none ever does."""
        if self.expiry is None:
            return 0
        given = np.asarray(self.expiry)
        given = given[given > 0]
        return int(given.min()) if len(given) else 0

    @property
    def names(self) -> list[str]:
        """The fields that are given."""
        return [item.name for item in fields(self) if getattr(self, item.name) is not None]

    @property
    def empty(self) -> bool:
        """Whether no field is given."""
        return all(getattr(self, item.name) is None for item in fields(self))
