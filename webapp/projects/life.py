"""The life of a model in one picture: what each task scored after each wake and each sleep. Pure geometry.

The drawing is stretched to the width that there is: x counts stages (stage i lies in the middle of column i),
y is in pixels, and lines keep their width. Columns, links and words lie over it as HTML.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from consolidation.metrics import learned_stages, retention
from webapp.core.plotting import Scale, path, task_colour, ticks
from webapp.projects.selectors import metric_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEIGHT: Final = 260
TOP: Final = 14
FOOT: Final = 14
# So many stages are drawn; older ones only on request.
SHOWN: Final = 40
LABEL_GAP: Final = 15.0


@dataclass(frozen=True, slots=True)
class Value:
    """A task's score at a stage, and what the stage changed of it; None: it was not known before."""

    task: str
    colour: int
    score: float
    change: float | None


@dataclass(frozen=True, slots=True)
class Stage:
    """A column: one checkpoint of the line."""

    label: str
    kind: str
    checkpoint_id: str
    task: str | None
    retention: float | None
    values: list[Value]


@dataclass(frozen=True, slots=True)
class Curve:
    """A task's line, and its name at the right end (`y` moved so that names do not overlap)."""

    task: str
    colour: int
    data: str
    dots: str
    end: float
    y: float
    score: float


@dataclass(frozen=True, slots=True)
class Aside:
    """A checkpoint off the line: a candidate or a branch, from its parent to the mean of its own scores."""

    label: str
    standing: str
    checkpoint_id: str
    data: str
    dot: str


@dataclass(frozen=True, slots=True)
class Life:
    """All that the template draws. `hidden` stages before the first shown one are left out."""

    stages: list[Stage]
    curves: list[Curve]
    retention: str
    asides: list[Aside]
    marks: list[tuple[float, str]]
    columns: int
    hidden: int
    shares: bool
    height: int = HEIGHT


def life_of(
    matrix: Mapping[str, Any],
    line: Sequence[int],
    *,
    parents: Mapping[int, int | None],
    open_columns: int = 0,
    shown: int | None = SHOWN,
    shares: bool = False,
) -> Life | None:
    """The picture, or None while fewer than two stages of the line have scores.

    Args:
        matrix: as `retention_matrix` gives it.
        line: numbers of the checkpoints from the first to the current one.
        parents: the number that each checkpoint began from.
        open_columns: columns to leave free at the right, for what runs or waits.
        shown: the most stages; None: all.
        shares: draw each task's scores as shares of its best since it was learned, as those of a language
            model, which are small and of a size of their own each; numbers stay as they are.
    """
    on_line = set(line)
    every = [row for row in matrix["rows"] if row["number"] in on_line]
    if len(every) < 2:
        return None
    rows = metric_rows(every)
    tasks: list[str] = list(matrix["tasks"])
    learned = learned_stages(rows, tasks)
    hidden = max(0, len(every) - shown) if shown else 0
    seen = range(hidden, len(every))
    kept = {i: retention(rows[: i + 1], tasks).value for i in seen}
    scores = [
        [
            _score(row, task) if learned.since.get(task, len(every)) <= i else None
            for i, row in enumerate(every)
        ]
        for task in tasks
    ]
    best = [max((v for v in column if v), default=1.0) if shares else 1.0 for column in scores]
    known = [
        [None if v is None else v / most for v in column[hidden:]]
        for column, most in zip(scores, best, strict=True)
    ]
    values = [value for column in known for value in column if value is not None]
    values += [value for value in kept.values() if value is not None]
    if not values:
        return None
    low = max(0.0, int(min(values) * 10) / 10)
    y = Scale(low, max(1.0, max(values)), HEIGHT - FOOT, TOP)
    place = {every[i]["number"]: i - hidden + 0.5 for i in seen}
    means = {every[i]["number"]: kept[i] for i in seen}
    return Life(
        stages=[_stage(every, i, tasks, learned.since, kept[i]) for i in seen],
        curves=_curves(tasks, known, best, y),
        retention=path((i - hidden + 0.5, None if v is None else y(v)) for i, v in kept.items()),
        asides=_asides(matrix, line, parents, place, means, y),
        marks=[(y(tick), f"{tick:g}") for tick in ticks(low, max(1.0, max(values)), 4)],
        columns=len(seen) + open_columns,
        hidden=hidden,
        shares=shares,
    )


def _score(row: Mapping[str, Any], task: str) -> float | None:
    value = row["scores"].get(task)
    return None if value is None else float(value)


def _stage(
    rows: Sequence[Mapping[str, Any]],
    index: int,
    tasks: Sequence[str],
    since: Mapping[str, int],
    kept: float | None,
) -> Stage:
    row, values = rows[index], []
    for place, task in enumerate(tasks):
        score = _score(row, task)
        if score is None or since.get(task, len(rows)) > index:
            continue
        before = _score(rows[index - 1], task) if index > since[task] else None
        values.append(Value(task, task_colour(place), score, None if before is None else score - before))
    return Stage(row["label"], row["kind"], row["checkpoint_id"], row["task"], kept, values)


def _curves(
    tasks: Sequence[str],
    known: Sequence[Sequence[float | None]],
    best: Sequence[float],
    y: Scale,
) -> list[Curve]:
    curves = []
    for place, (task, column, most) in enumerate(zip(tasks, known, best, strict=True)):
        points = [(i + 0.5, None if v is None else y(v)) for i, v in enumerate(column)]
        ends = [value for value in column if value is not None]
        if ends:
            dots = " ".join(f"M{x:g} {at:g}h0" for x, at in points if at is not None)
            end = y(ends[-1])
            curves.append(Curve(task, task_colour(place), path(points), dots, end, end, ends[-1] * most))
    return _spread(curves)


def _spread(curves: list[Curve]) -> list[Curve]:
    """Names keep LABEL_GAP from each other and stay inside; their order is that of the lines' ends."""
    order = sorted(range(len(curves)), key=lambda i: curves[i].end)
    wanted = [max(TOP, curves[i].end) for i in order]
    for n in range(1, len(wanted)):
        wanted[n] = max(wanted[n], wanted[n - 1] + LABEL_GAP)
    limit = HEIGHT - 4.0
    for n in reversed(range(len(wanted))):
        wanted[n] = min(wanted[n], limit)
        limit = wanted[n] - LABEL_GAP
    moved = dict(zip(order, wanted, strict=True))
    return [
        Curve(c.task, c.colour, c.data, c.dots, c.end, round(moved[i], 1), c.score)
        for i, c in enumerate(curves)
    ]


def _asides(
    matrix: Mapping[str, Any],
    line: Sequence[int],
    parents: Mapping[int, int | None],
    place: Mapping[int, float],
    means: Mapping[int, float | None],
    y: Scale,
) -> list[Aside]:
    """Beside the line: where a candidate's retention would have gone from its parent's."""
    rows, on_line = {row["number"]: row for row in matrix["rows"]}, set(line)
    found = []
    for number, row in rows.items():
        parent = parents.get(number)
        if number in on_line or parent is None or parent not in place:
            continue
        past = [rows[n] for n in line if n <= parent and n in rows]
        kept = retention(metric_rows([*past, row]), list(matrix["tasks"])).value
        start = means.get(parent)
        if kept is None or start is None or not y.low <= kept <= y.high:
            continue
        x, at = place[parent] + 0.4, y(kept)
        data = path([(place[parent], y(start)), (x, at)])
        found.append(Aside(row["label"], row["standing"], row["checkpoint_id"], data, f"M{x:g} {at:g}h0"))
    return found
