"""Looks through all rows of a set before any is written, and leaves rows out: bad or unwanted ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consolidation.formats import limits
from consolidation.formats.refusal import refuse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from consolidation.errors import NocturneInputError
    from consolidation.formats.source import Blocks, Source

HALF_MOST: Final = 65_504.0


def check_rows(source: Source, classes: int, *, declared: bool) -> None:
    """Mark in `source.bad` every row that could not be replayed: a label outside of the classes, a number
    that is none, a logit beyond 16-bit floats. Reads the numbers once, unless they are known to be sound.

    Args:
        declared: whether the number of classes was told, by the file or by a person.
    """
    first, last = source.head or (0, classes)
    outside = (source.labels < first) | (source.labels >= last)
    asks = "Correct it, or the columns of its task" if source.head else "Correct it, or the number of classes"
    for row in np.flatnonzero(outside).tolist():
        _mark(source, row, refuse(
            "replay.schema" if declared else "records.label_range",
            f"the label is {int(source.labels[row]) - first}; with {last - first:,} classes it must be from "
            f"0 to {last - first - 1:,}. {asks}",
        ))  # fmt: skip
    if not source.sound:
        start = 0
        for block in source.x(max(1, limits.CHUNK // (source.width * source.x_dtype.itemsize))):
            if source.x_dtype.kind == "f":
                finite = np.isfinite(block).reshape(len(block), -1).all(axis=1)
                for place in np.flatnonzero(~finite).tolist():
                    _mark(source, start + place, refuse(
                        "records.non_finite",
                        "x holds NaN or infinity. Such a record cannot be replayed; remove it",
                    ))  # fmt: skip
            start += len(block)
    start = 0
    for block in source.z(max(1, limits.CHUNK // (4 * source.z_width))) if source.z_width else ():
        # NaN fails the comparison too.
        fits = (np.abs(block.astype(np.float64)) <= HALF_MOST).all(axis=1)
        for place in np.flatnonzero(~fits).tolist():
            _mark(source, start + place, refuse(
                "records.logits",
                f"a stored logit is NaN or beyond ±{HALF_MOST:,.0f}. Store logits, not losses",
            ))  # fmt: skip
        start += len(block)


def _mark(source: Source, row: int, error: NocturneInputError) -> None:
    source.bad.mark(row, len(source.labels), source.number(row), error)


def chosen(source: Source, rows: NDArray[np.int64]) -> Source:
    """The source with only some of its rows, given in rising order; read as it streams by."""

    def only(blocks: Blocks) -> Callable[[int], Iterator[NDArray[Any]]]:
        def found(count: int) -> Iterator[NDArray[Any]]:
            start = 0
            for block in blocks(count):
                first, last = np.searchsorted(rows, [start, start + len(block)])
                if last > first:
                    yield block[rows[first:last] - start]
                start += len(block)

        return found

    return replace(
        source,
        labels=source.labels[rows],
        x=only(source.x),
        z=only(source.z),
        number=lambda row: source.number(int(rows[row])),
        rights=source.rights.take(rows),
    )
