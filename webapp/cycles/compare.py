"""Cycles side by side: the figures of each, and the best of a row. Pure.

Figures come from the reports as the engine left them; what a report does not hold stays None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from django.template.defaultfilters import floatformat
from django.utils.translation import gettext as _

from webapp.core.decimals import LEAST, decimals, signed
from webapp.core.plotting import task_colour
from webapp.cycles.gains import forgotten_before

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webapp.cycles.models import Cycle

# Under so many seconds a time is shown to the tenth.
_SHORT: Final = 60
_DEFAULT_CONFIDENCE: Final = 0.95
_SAME: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference of two scores on the same answers and its confidence interval, around the later of the
    two, `score`; fractions of 1."""

    value: float
    low: float
    high: float
    score: float | None

    @property
    def word(self) -> str:
        """ "+0.122"."""
        return signed(self.value, self._digits)

    @property
    def words(self) -> str:
        """ "+0.103 to +0.141"."""
        ends = {"low": signed(self.low, self._digits), "high": signed(self.high, self._digits)}
        return _("%(low)s to %(high)s") % ends

    @property
    def _digits(self) -> int:
        return LEAST if self.score is None else decimals(self.score, self.score - self.value)


@dataclass(frozen=True, slots=True)
class Cell:
    """What one cycle has in a row; `before` is None where there is no such thing, as for energy."""

    before: float | None
    after: float | None
    note: str = ""
    interval: Interval | None = None
    best: bool = False

    @property
    def is_short(self) -> bool:
        """For a time: whether tenths of a second count."""
        return self.after is not None and self.after < _SHORT

    @property
    def change(self) -> float | None:
        """After minus before."""
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of all cycles. `good` is "up" or "down"; `colour` (1-8) only for a task's row."""

    name: str
    unit: str
    good: str
    cells: list[Cell]
    colour: int = 0
    kind: str = "figure"


def number(value: object) -> float | None:
    """A finite number of a report, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _part(report: object, *keys: str) -> dict[str, Any]:
    for key in keys:
        report = report.get(key) if isinstance(report, dict) else None
    return report if isinstance(report, dict) else {}


def interval_of(found: object, score: float | None) -> Interval | None:
    """An interval as a report keeps it: {"value", "low", "high"}."""
    ends = [number(_part(found).get(name)) for name in ("value", "low", "high")]
    value, low, high = ends
    return None if value is None or low is None or high is None else Interval(value, low, high, score)


def mean_gain(cycle: Cycle) -> Interval | None:
    """How far the mean score on proof moved, before against after, as the cycle's own verdict saw it."""
    return interval_of(_part(cycle.report, "gain").get("mean"), metric(cycle, "acc")[1])


def confidence_of(cycle: Cycle) -> float:
    """Of the intervals in the cycle's report: a fraction of 1."""
    return number(cycle.recipe.get("confidence")) or _DEFAULT_CONFIDENCE


def metric(cycle: Cycle, name: str) -> tuple[float | None, float | None]:
    """A figure of `consolidation.metrics.summary` before and after."""
    before, after = (number(_part(cycle.report, "metrics", when).get(name)) for when in ("before", "after"))
    return forgotten_before(before) if name == "worst_forgetting" else before, after


def seconds_of(cycle: Cycle) -> float | None:
    """Seconds over all attempts as the engine counted them, else from start to end, else None."""
    told = number(_part(cycle.report).get("seconds"))
    if told is None and cycle.started_at and cycle.finished_at:
        return (cycle.finished_at - cycle.started_at).total_seconds()
    return told


def scored_tasks(cycle: Cycle) -> set[str]:
    """The tasks that the cycle was proved on."""
    return set(_part(cycle.report, "after"))


# ---------------------------------------------------------------- results


def results(cycles: Sequence[Cycle], tasks: Sequence[str], probes: Sequence[Mapping[str, str]]) -> list[Row]:
    """The rows of the table of results.

    Args:
        tasks: the project's, in order of learning.
        probes: for each cycle {task: sha256 of the probe that proved it}. A best is named only among scores
            on the same probe, and only of means over the same tasks.
    """
    means = same_proof(cycles, probes)
    newest = {str(_part(c.report, "metrics", "after").get("newest_task")) for c in cycles if c.report}
    rows = [
        _row(cycles, _("Retention"), "score", "up", "retention", means),
        _row(cycles, _("Forgetting, worst"), "share", "down", "worst_forgetting", means),
        _row(cycles, _("Newest task"), "score", "up", "newest", means and len(newest) == 1),
        _row(cycles, _("Mean score"), "score", "up", "acc", means),
    ]
    seen = set().union(*(scored_tasks(c) for c in cycles))
    for place, task in enumerate(tasks):
        if task not in seen:
            continue
        cells = [_task_cell(cycle, task) for cycle in cycles]
        used = {p.get(task) for cell, p in zip(cells, probes, strict=True) if cell.after is not None}
        row = Row(task, "score", "up", cells, task_colour(place), "task")
        rows.append(with_best(row) if len(used) == 1 and None not in used else row)
    alike = len({cycle.kind for cycle in cycles}) == 1
    energy = [Cell(None, cycle.energy_wh, _source(cycle)) for cycle in cycles]
    time = [Cell(None, seconds_of(cycle)) for cycle in cycles]
    for name, unit, cells in ((_("Energy"), "energy", energy), (_("Time"), "time", time)):
        row = Row(name, unit, "down", cells, kind="cost")
        rows.append(with_best(row, among=[bool(c.report) for c in cycles]) if alike else row)
    return [row for row in rows if any(cell.after is not None for cell in row.cells)]


def same_proof(cycles: Sequence[Cycle], probes: Sequence[Mapping[str, str]]) -> bool:
    """Whether all cycles that have scores were proved on the same tasks with the same probes."""
    proofs = []
    for cycle, used in zip(cycles, probes, strict=True):
        if tasks := scored_tasks(cycle):
            proofs.append({task: used.get(task) for task in tasks})
    return all(proof == proofs[0] and None not in proof.values() for proof in proofs)


def _row(cycles: Sequence[Cycle], name: str, unit: str, good: str, key: str, comparable: bool) -> Row:
    cells = []
    for cycle in cycles:
        before, after = metric(cycle, key)
        interval = _of_this(mean_gain(cycle), before, after) if key == "acc" else None
        cells.append(Cell(before, after, _note(cycle, key) if after is not None else "", interval))
    row = Row(name, unit, good, cells)
    return with_best(row) if comparable else row


def _of_this(gain: Interval | None, before: float | None, after: float | None) -> Interval | None:
    """The gain when it is that of these two values: it is a mean over all tasks that were proved, and the
    score one over those learned so far, which a wake makes more."""
    if gain is None or before is None or after is None or abs(after - before - gain.value) > _SAME:
        return None
    return gain


def _note(cycle: Cycle, key: str) -> str:
    after = _part(cycle.report, "metrics", "after")
    if key == "worst_forgetting" and after.get("worst_task"):
        budget = number(cycle.recipe.get("forgetting_budget"))
        words = _("on %(task)s") % {"task": after["worst_task"]}
        return (
            words
            if budget is None
            else f"{words} · " + _("budget %(n)g\u00a0%%") % {"n": round(100 * budget, 2)}
        )
    return str(after.get("newest_task") or "") if key == "newest" else ""


def _task_cell(cycle: Cycle, task: str) -> Cell:
    before, after = (number(_part(cycle.report, when).get(task)) for when in ("before", "after"))
    interval = interval_of(_part(cycle.report, "gain", "tasks").get(task), after)
    return Cell(before, after, _perplexity(cycle, task), interval)


def _perplexity(cycle: Cycle, task: str) -> str:
    """ "perplexity 54.5 → 52.6" of a language model, whose scores say little by themselves."""
    told = [number(_part(cycle.report, "perplexity", when).get(task)) for when in ("before", "after")]
    before, after = (floatformat(value, 1) for value in told)
    if told[1] is None:
        return ""
    words = _("perplexity %(after)s") if told[0] is None else _("perplexity %(before)s → %(after)s")
    return words % {"before": before, "after": after}


def _source(cycle: Cycle) -> str:
    words = {"measured": _("measured"), "estimated": _("estimated")}
    return words.get(cycle.energy_source, "") if cycle.energy_wh is not None else ""


def with_best(row: Row, among: Sequence[bool] | None = None) -> Row:
    """The row with its best cells marked: by what the page shows, so that equal words are equally good.

    Nothing is marked where fewer than two cells have a value, or where all have the same.
    """
    shown = [
        _shown(cell.after, row.unit) if among is None or among[place] else None
        for place, cell in enumerate(row.cells)
    ]
    known = [value for value in shown if value is not None]
    if len(known) < 2 or min(known) == max(known):
        return row
    best = max(known) if row.good == "up" else min(known)
    return replace(
        row, cells=[replace(cell, best=v == best) for cell, v in zip(row.cells, shown, strict=True)]
    )


def _shown(value: float | None, unit: str) -> float | None:
    if value is None:
        return None
    if unit == "time":
        return round(value, 1 if value < _SHORT else 0)
    return round(value, LEAST if unit == "share" else decimals(value))
