"""Points as rows, and rows merged into aligned power-of-two bins that hide nothing: last, low, high, count.

A row is [key, t, count, gaps, then (last, low, high) a column], all float64. `key` is the global step (or, of
the device, the whole second), the largest in the row; `t` is engine seconds; `gaps` counts points whose first
column is not a finite number; NaN says that no point of the row has a value there. The page's store does the
same arithmetic in JavaScript, and a test holds the two against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consolidation.events import STEP_TERMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Rows = NDArray[np.float64]

HEAD: Final = 4


@dataclass(frozen=True, slots=True)
class Series:
    """What is drawn together: a name and its columns; `key` names the column that the bins are aligned by."""

    name: str
    key: str
    columns: tuple[str, ...]

    @property
    def width(self) -> int:
        """Numbers a row."""
        return HEAD + 3 * len(self.columns)


POINTS: Final = Series("points", "step", STEP_TERMS)
DEVICE: Final = Series("device", "t", ("cpu", "memory", "gpu", "gpu_memory", "watts"))
SERIES: Final = (POINTS, DEVICE)


def rows_of(series: Series, columns: Mapping[str, Sequence[Any]]) -> Rows:
    """One row a point, from the columns of a frame; unknown columns are left out, absent ones are gaps."""
    times = _column(columns["t"])
    rows = np.empty((len(times), series.width))
    rows[:, 0] = np.floor(_column(columns[series.key]))
    rows[:, 1] = times
    rows[:, 2] = 1
    for place, name in enumerate(series.columns):
        values = _column(columns[name]) if name in columns else np.full(len(times), np.nan)
        rows[:, HEAD + 3 * place : HEAD + 3 * place + 3] = values[:, None]
    rows[:, 3] = np.isnan(rows[:, HEAD])
    return rows


def _column(values: Sequence[Any]) -> Rows:
    found = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    found[~np.isfinite(found)] = np.nan
    return found


def merge(rows: Rows, level: int) -> Rows:
    """Neighbouring rows whose keys agree but for their lowest `level` bits become one. Rows rise in key."""
    if len(rows) == 0:
        return rows
    bins = rows[:, 0].astype(np.int64) >> level
    starts = np.flatnonzero(np.r_[True, bins[1:] != bins[:-1]])
    if len(starts) == len(rows):
        return rows
    ends = np.r_[starts[1:], len(rows)] - 1
    merged = np.empty((len(starts), rows.shape[1]))
    merged[:, :2] = rows[ends, :2]
    merged[:, 2:HEAD] = np.add.reduceat(rows[:, 2:HEAD], starts, axis=0)
    merged[:, HEAD + 1 :: 3] = np.fmin.reduceat(rows[:, HEAD + 1 :: 3], starts, axis=0)
    merged[:, HEAD + 2 :: 3] = np.fmax.reduceat(rows[:, HEAD + 2 :: 3], starts, axis=0)
    lasts = rows[:, HEAD::3]
    place = np.where(np.isnan(lasts), -1, np.arange(len(rows))[:, None])
    found = np.maximum.reduceat(place, starts, axis=0)
    merged[:, HEAD::3] = np.where(found >= 0, np.take_along_axis(lasts, np.maximum(found, 0), axis=0), np.nan)
    return merged
