"""Writing rollups beside the frames: the same points in bins of 16, 64, 256 ... steps, so that a page that is
opened late never reads a million points."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from webapp.live.bins import SERIES, Series, merge, rows_of
from webapp.live.models import Rollup

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from webapp.live.bins import Rows

# log2 of the steps a bin. Below the first the frames themselves are read.
LEVELS: Final = (4, 6, 8, 10, 12, 14, 16, 18, 20)
PART_ROWS: Final = 256


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one level that are ready to be stored."""

    series: Series
    level: int
    rows: Rows


class RollupWriter:
    """Gathers the points of one attempt, level above level, and says what is ready to be stored.

    Each level holds at most PART_ROWS closed bins and one open one; nothing grows with the night.
    """

    def __init__(self) -> None:
        none = {series: np.empty((0, series.width)) for series in SERIES}
        self._open = {(series, level): none[series] for series in SERIES for level in LEVELS}
        self._closed = dict(self._open)
        # (the largest key, the number) of the frames whose points may not be stored yet, a series.
        self._frames: dict[Series, deque[tuple[float, int]]] = {series: deque() for series in SERIES}

    def add(self, payload: Mapping[str, Any]) -> list[Part]:
        """The points of one frame, once each; the parts that they complete."""
        ready: list[Part] = []
        for series in SERIES:
            columns = payload.get(series.name)
            if columns and columns["t"]:
                ready += self._add(series, rows_of(series, columns), finish=False)
        return ready

    def finish(self) -> list[Part]:
        """What is still open, as parts: nothing more will come."""
        return [part for series in SERIES for part in self._add(series, None, finish=True)]

    def _add(self, series: Series, rows: Rows | None, *, finish: bool) -> list[Part]:
        ready: list[Part] = []
        fresh = np.empty((0, series.width)) if rows is None else rows
        for level in LEVELS:
            at = (series, level)
            waiting = np.concatenate([self._open[at], fresh])
            cut = len(waiting)
            if not finish and cut:
                bins = waiting[:, 0].astype(np.int64) >> level
                cut = int(np.searchsorted(bins, bins[-1]))
            fresh, self._open[at] = merge(waiting[:cut], level), waiting[cut:]
            closed = np.concatenate([self._closed[at], fresh]) if len(fresh) else self._closed[at]
            if len(closed) >= PART_ROWS or (finish and len(closed)):
                ready.append(Part(series, level, closed))
                closed = closed[:0]
            self._closed[at] = closed
        return ready

    def wrote(self, payload: Mapping[str, Any], seq: int) -> None:
        """The frame with this payload has this number: from where a reader finds what is not stored yet."""
        for series in SERIES:
            columns = payload.get(series.name)
            if columns and columns["t"]:
                self._frames[series].append((float(int(columns[series.key][-1])), seq))

    def store(self, cycle_id: UUID, epoch: int, parts: list[Part]) -> None:
        """Insert the parts, in the caller's transaction, after `wrote` of the frame that completed them."""
        Rollup.objects.bulk_create(
            Rollup(
                cycle_id=cycle_id,
                epoch=epoch,
                series=part.series.name,
                level=part.level,
                first_key=int(part.rows[0, 0]),
                last_key=int(part.rows[-1, 0]),
                after_seq=self._covered(part),
                count=int(part.rows[:, 2].sum()),
                rows=np.ascontiguousarray(part.rows, dtype="<f8").tobytes(),
            )
            for part in parts
        )

    def _covered(self, part: Part) -> int:
        """The last frame all of whose points are in the parts of this level so far."""
        frames, last, seq = self._frames[part.series], part.rows[-1, 0], 0
        for key, number in frames:
            if key > last:
                break
            seq = number
        if part.level == LEVELS[0]:
            while len(frames) > 1 and frames[1][0] <= last:
                frames.popleft()
        return seq
