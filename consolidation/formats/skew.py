"""What looks poisoned, or careless, in a set of records. Nothing is refused for it: notes are written.

Three patterns: many identical records, one label that floods the set, and a mark: a value far outside of what
its column holds elsewhere, whose records carry one label. The last is how a backdoor is planted (Gu et al.,
BadNets, arXiv:1708.06733); a mark that is spread over many values, or blends in, is not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consolidation.formats import limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

WARNING: Final = "replay.skew_warning"
LEAST_ROWS: Final = 20  # under so many rows every share is chance
DUPLICATE_SHARE: Final = 0.4
FLOOD_SHARE: Final = 0.8
MARK_SHARE: Final = 0.01  # of all rows, and at least `LEAST_ROWS` rows
MARK_PURITY: Final = 0.98
MARK_GAP: Final = 1 / 3  # of the column's range
MARK_BASE: Final = 0.6  # above this share of all rows the label alone explains the mark

Rows = Callable[[int], Iterator["NDArray[Any]"]]


def skew_notes(labels: NDArray[np.int64], duplicates: int, x: Rows) -> list[dict[str, str]]:
    """One {"code", "text"} for each pattern that was found; none for a set that looks honest.

    Args:
        labels: [N].
        duplicates: how many rows repeat an earlier one, label included.
        x: the records in blocks [n, ...] of at most so many bytes; read once, or a few times.
    """
    rows = len(labels)
    if rows < LEAST_ROWS:
        return []
    notes = []
    if duplicates >= DUPLICATE_SHARE * rows:
        notes.append(
            f"{duplicates:,} of {rows:,} records ({duplicates / rows:.0%}) repeat an earlier one. Replayed, "
            "they count many times."
        )
    counts = np.unique_counts(labels)
    most = int(counts.counts.argmax())
    share = counts.counts[most] / rows
    if share >= FLOOD_SHARE and len(counts.values) > 1:
        notes.append(
            f"{int(counts.counts[most]):,} of {rows:,} records ({share:.0%}) carry the label "
            f"{int(counts.values[most])}. A sleep on them leans towards it."
        )
    if len(counts.values) > 1:
        notes += _marks(labels, x)
    return [{"code": WARNING, "text": text} for text in notes]


def _marks(labels: NDArray[np.int64], x: Rows) -> list[str]:
    """A sentence when some columns hold an outlying value that goes with one label."""
    rows = len(labels)
    extremes = _extremes(x)
    if extremes is None:
        return []
    tops, seconds, lows, second_lows = extremes
    span = tops - lows
    high = np.flatnonzero((span > 0) & (tops - seconds > MARK_GAP * span))
    low = np.flatnonzero((span > 0) & (second_lows - lows > MARK_GAP * span))
    wanted = [(int(column), float(tops[column])) for column in high]
    wanted += [(int(column), float(lows[column])) for column in low]
    if not wanted:
        return []
    found = []
    for (column, value), having in _having(wanted, x, rows):
        carried = labels[having]
        if len(carried) < max(LEAST_ROWS, MARK_SHARE * rows) or len(carried) > rows / 2:
            continue
        counts = np.unique_counts(carried)
        label, pure = int(counts.values[counts.counts.argmax()]), counts.counts.max() / len(carried)
        if pure >= MARK_PURITY and (labels == label).mean() <= MARK_BASE:
            found.append((column, value, label, len(carried)))
    if not found:
        return []
    column, value, label, count = found[0]
    more = f" ({len(found):,} numbers of a record show such a pattern)" if len(found) > 1 else ""
    return [
        f"Whenever number {column + 1:,} of a record is {value:.6g}, far from its other values, the label is "
        f"{label}: in {count:,} records{more}. If nothing in the data explains it, somebody may have planted "
        "a mark that the model would obey."
    ]


def _extremes(x: Rows) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]] | None:
    """The two highest and the two lowest different values of every column."""
    tops = seconds = lows = second_lows = None
    for block in _floats(x):
        top, low = block.max(axis=0), block.min(axis=0)
        second = np.where(block < top, block, -np.inf).max(axis=0)
        second_low = np.where(block > low, block, np.inf).min(axis=0)
        if tops is None or seconds is None or lows is None or second_lows is None:
            tops, seconds, lows, second_lows = top, second, low, second_low
            continue
        seconds = np.maximum.reduce([np.where(tops == top, -np.inf, np.minimum(tops, top)), seconds, second])
        second_lows = np.minimum.reduce(
            [np.where(lows == low, np.inf, np.maximum(lows, low)), second_lows, second_low]
        )
        tops, lows = np.maximum(tops, top), np.minimum(lows, low)
    if tops is None or seconds is None or lows is None or second_lows is None:
        return None
    return tops, seconds, lows, second_lows


def _having(
    wanted: list[tuple[int, float]], x: Rows, rows: int
) -> Iterator[tuple[tuple[int, float], NDArray[np.int64]]]:
    """For some (column, value): the rows that hold it; at most 64 MB of them are held at a time."""
    step = max(1, 2**26 // rows)
    for start in range(0, min(len(wanted), 8 * step), step):
        part = wanted[start : start + step]
        columns = np.array([column for column, _ in part])
        values = np.array([value for _, value in part], np.float32)
        hits = np.concatenate([block[:, columns] == values for block in _floats(x)])
        for at, one in enumerate(part):
            yield one, np.flatnonzero(hits[:, at])


def _floats(x: Rows) -> Iterator[NDArray[np.float32]]:
    for block in x(limits.CHUNK):
        yield block.reshape(len(block), -1).astype(np.float32, copy=False)
