"""What is wrong with the rows of one file: the first twenty are told with their numbers, and how many there
are.

A reader either drops a bad row at once (`add`), or still gives it with something in its place (`mark`), as
readers of columns must; whoever takes the rows then leaves the marked ones out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consolidation.formats import limits
from consolidation.formats.refusal import refuse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from consolidation.errors import NocturneInputError

# These are about the file as a whole, not about a row that could be left out.
_ENDING: Final = frozenset({
    "replay.expansion_limit", "records.rows", "gzip.malformed", "records.rights", "archive.bomb",
    "archive.inconsistent", "pictures.channels", "records.mapping",
})  # fmt: skip
_MANY: Final = {"line": "lines", "row": "rows", "picture": "pictures"}


class BadRows:
    """The bad rows of one file.

    Args:
        unit: what its rows are called: "line", "row" or "picture".

    Attributes:
        total: how many there are.
        lines: the first of them, [{"line": number, "code", "message"}].
    """

    def __init__(self, unit: str = "row") -> None:
        self.unit, self.total = unit, 0
        self.lines: list[dict[str, Any]] = []
        self._marks: NDArray[np.bool_] | None = None

    def add(self, number: int, error: NocturneInputError) -> None:
        """Remember what is wrong with a row that is not given; raises it when it is about the whole file."""
        if error.code in _ENDING:
            raise error
        self.total += 1
        if len(self.lines) < limits.BAD_LINES_SHOWN:
            self.lines.append({"line": number, "code": error.code, "message": error.message})

    def mark(self, row: int, rows: int, number: int, error: NocturneInputError) -> None:
        """The same for row `row` of `rows` that are given all the same; once a row, however often it is
        read."""
        if self._marks is None:
            self._marks = np.zeros(rows, np.bool_)
        if not self._marks[row]:
            self.add(number, error)
            self._marks[row] = True

    def good(self, rows: int) -> NDArray[np.int64] | None:
        """The rows that bear no mark; None when there is no mark at all."""
        return None if self._marks is None else np.flatnonzero(~self._marks)

    def told(self) -> dict[str, Any]:
        """{"total", "lines", "unit"}, the lines in their order in the file."""
        lines = sorted(self.lines, key=lambda item: int(item["line"]))
        return {"total": self.total, "lines": lines, "unit": self.unit}

    def report(self, others: int) -> NocturneInputError:
        """The refusal of the whole file for them.

        Args:
            others: records that the good rows make; a long text is several.
        """
        told = self.told()
        first, *more = told["lines"]
        sentence = f"{self.unit.capitalize()} {first['line']:,}: {first['message']}."
        if self.total > 1:
            numbers = ", ".join(str(item["line"]) for item in more)
            end = ", ..." if self.total > len(told["lines"]) else ""
            sentence += f" {self.total:,} {_MANY[self.unit]} are bad in all (also {numbers}{end})."
        records = f"{others:,} record{'s' if others > 1 else ''}"
        rest = f", or take in what the other {_MANY[self.unit]} hold ({records})" if others else ""
        return refuse(
            first["code"],
            f"{sentence} Nothing was taken in; correct the file and upload it again{rest}.",
            **told,
            others=others,
        )
