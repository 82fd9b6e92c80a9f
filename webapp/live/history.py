"""A cycle's whole stream, short: every event, and the points in as many bins as a screen can show."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from django.db import connection, transaction

from webapp.cycles.models import Cycle
from webapp.cycles.selectors import cycle_energy
from webapp.live.bins import HEAD, SERIES, Series, merge, rows_of
from webapp.live.frames import PROGRESS_COLUMNS
from webapp.live.models import Frame, Rollup
from webapp.live.rollups import LEVELS
from webapp.live.store import frames_telling

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from webapp.live.bins import Rows

MOST_ROWS: Final = 2_000


@dataclass(frozen=True, slots=True)
class _Part:
    """A Rollup without its rows."""

    pk: int
    epoch: int
    level: int
    first: int
    last: int
    after_seq: int
    count: int


def history_text(cycle_id: UUID, *, points: int = MOST_ROWS) -> str:
    """The stream up to now as JSON: {"last", "total", "shown", "now", "points", "device", "items"}.

    Args:
        points: at most so many rows a series.

    Returns:
        `items` are the telling frames (as `frames` has them, without columns) up to number `last`; `points`
        and `device` hold {"level", "epoch", "key", "t", "count", "gaps"} and for each column that has any
        value {"last", "low", "high"}; a bin holds 2**level keys; `shown` rows stand for `total` raw points.
        `now` is what the frames in between, which are not among `items`, brought the cycle to.
    """
    with _one_moment():
        cycle = Cycle.objects.only("seq", "epoch", "compacted_at", *PROGRESS_COLUMNS).get(pk=cycle_id)
        items = frames_telling(cycle_id)
        found = {series: _rows(cycle, series, None, None, points) for series in SERIES}
    body = {
        "last": cycle.seq,
        "total": sum(int(rows[:, 2].sum()) for _, rows in found[SERIES[0]].rows),
        "shown": sum(len(rows) for _, rows in found[SERIES[0]].rows),
        "now": {
            "stage": cycle.stage,
            "progress": cycle.progress,
            "step": cycle.step,
            "total_steps": cycle.total_steps,
            "energy": cycle_energy(cycle),
        },
        **{series.name: _columns(series, found[series]) for series in SERIES},
    }
    head = json.dumps(body, separators=(",", ":"))
    return f'{head[:-1]},"items":[{",".join(item.text for item in items)}]}}'


def points_between(cycle_id: UUID, low: int, high: int, *, points: int = MOST_ROWS) -> dict[str, Any]:
    """Finer rows of the steps `low` to `high`, as history has them: {"complete", "points"}."""
    series = SERIES[0]
    with _one_moment():
        cycle = Cycle.objects.only("epoch", "compacted_at").get(pk=cycle_id)
        found = _rows(cycle, series, low, high, points)
    return {"complete": found.level == 0, "points": _columns(series, found)}


@contextmanager
def _one_moment() -> Iterator[None]:
    """Several queries see one and the same state: a part written between two of them would count twice."""
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


@dataclass(frozen=True, slots=True)
class _Found:
    level: int
    rows: list[tuple[int, Rows]]  # (epoch, rows)


def _rows(cycle: Cycle, series: Series, low: int | None, high: int | None, most: int) -> _Found:
    """Rows of all attempts in one level of bins: the finest that needs at most `most` of them."""
    by_epoch: dict[int, list[_Part]] = {}
    headers = Rollup.objects.filter(cycle=cycle, series=series.name).order_by("level", "first_key")
    names = ("pk", "epoch", "level", "first_key", "last_key", "after_seq", "count")
    for header in headers.values_list(*names):
        part = _Part(*header)
        by_epoch.setdefault(part.epoch, []).append(part)
    raw = cycle.compacted_at is None
    level = _level_for([p for parts in by_epoch.values() for p in parts], low, high, most)
    if not raw:
        level = max(level, LEVELS[0])
    found = [
        (epoch, merge(_attempt(cycle.pk, series, epoch, by_epoch.get(epoch, []), low, high, level), level))
        for epoch in range(1, cycle.epoch + 1)
    ]
    while sum(len(rows) for _, rows in found) > most:
        level += 1
        found = [(epoch, merge(rows, level)) for epoch, rows in found]
    there = [(epoch, rows) for epoch, rows in found if len(rows)]
    return _Found(level if there else 0, there)


def _level_for(parts: list[_Part], low: int | None, high: int | None, most: int) -> int:
    """A level to begin with, from what the parts and the frames behind them can hold; never too coarse."""
    finest = [part for part in parts if part.level == LEVELS[0] and _meets(part, low, high)]
    count = sum(part.count for part in finest)
    if low is not None and high is not None and finest:
        count = min(count, (high - low + 1) * len({part.epoch for part in finest}))
    return max(0, math.ceil(math.log2(count / most))) if count > most else 0


def _meets(part: _Part, low: int | None, high: int | None) -> bool:
    return (low is None or part.last >= low) and (high is None or part.first <= high)


def _attempt(
    cycle_id: UUID,
    series: Series,
    epoch: int,
    parts: list[_Part],
    low: int | None,
    high: int | None,
    level: int,
) -> Rows:
    """The rows of one attempt, in order: from the coarsest parts that are fine enough, where they end from
    finer ones, and at last from the frames."""
    pieces: list[Rows] = []
    reached = -1 if low is None else low - 1
    after_seq = 0
    for used in [one for one in reversed(LEVELS) if one <= level]:
        mine = [p for p in parts if p.level == used]
        wanted = [p for p in mine if p.last > reached and _meets(p, low, high)]
        if wanted:
            rows = _stored(series, wanted)
            rows = rows[rows[:, 0] > reached]
            pieces.append(rows)
            reached = max(reached, wanted[-1].last)
        if used == LEVELS[0] and mine:
            after_seq = max((p.after_seq for p in mine if p.last <= reached), default=0)
    if level < LEVELS[0]:
        finest = [p for p in parts if p.level == LEVELS[0]]
        after_seq = max((p.after_seq for p in finest if p.last < (low or 0)), default=0)
    before = None
    if high is not None:
        beyond = [p.after_seq for p in parts if p.level == LEVELS[0] and p.last >= high]
        before = _straddling(cycle_id, series, epoch, min(beyond)) if beyond else None
    if high is None or reached < high:
        rows = _framed(cycle_id, series, epoch, after_seq, before)
        pieces.append(rows[rows[:, 0] > reached])
    rows = np.concatenate(pieces) if pieces else np.empty((0, series.width))
    if high is not None:
        rows = rows[rows[:, 0] <= high]
    return rows


def _straddling(cycle_id: UUID, series: Series, epoch: int, seq: int) -> int | None:
    """The frame that holds the first points above number `seq`: some of them may lie in the part before."""
    there = {f"{series.name}__isnull": False}
    frames = Frame.objects.filter(cycle_id=cycle_id, epoch=epoch, seq__gt=seq, **there)
    return frames.order_by("seq").values_list("seq", flat=True).first()


def _stored(series: Series, parts: list[_Part]) -> Rows:
    stored = Rollup.objects.filter(pk__in=[part.pk for part in parts]).order_by("first_key")
    pieces = [np.frombuffer(bytes(rows), dtype="<f8") for rows in stored.values_list("rows", flat=True)]
    return np.concatenate(pieces).reshape(-1, series.width)


def _framed(cycle_id: UUID, series: Series, epoch: int, after_seq: int, before: int | None) -> Rows:
    there = {f"{series.name}__isnull": False}
    frames = Frame.objects.filter(cycle_id=cycle_id, epoch=epoch, seq__gt=after_seq, **there)
    if before is not None:
        frames = frames.filter(seq__lte=before)
    pieces = []
    for text in frames.order_by("seq").values_list(series.name, flat=True).iterator(chunk_size=500):
        columns = json.loads(text)
        if columns["t"]:
            pieces.append(rows_of(series, columns))
    return np.concatenate(pieces) if pieces else np.empty((0, series.width))


def _columns(series: Series, found: _Found) -> dict[str, Any]:
    pieces = [rows for _, rows in found.rows]
    rows = np.concatenate(pieces) if pieces else np.empty((0, series.width))
    body: dict[str, Any] = {
        "level": found.level,
        "epoch": [epoch for epoch, mine in found.rows for _ in range(len(mine))],
        "key": rows[:, 0].astype(np.int64).tolist(),
        "t": rows[:, 1].tolist(),
        "count": rows[:, 2].astype(np.int64).tolist(),
        "gaps": rows[:, 3].astype(np.int64).tolist(),
    }
    for place, name in enumerate(series.columns):
        last, low, high = (rows[:, HEAD + 3 * place + part] for part in range(3))
        if not np.isnan(last).all():
            body[name] = {"last": _listed(last), "low": _listed(low), "high": _listed(high)}
    return body


def _listed(values: Rows) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]
