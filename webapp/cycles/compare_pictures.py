"""Two small pictures of cycles side by side: retention before and after, and the gain with its interval.

Pure geometry. Each cycle has a drawing of its own, stretched to the width that there is: x runs from 0 to
100, and lines and dots keep their size. Words and the axis lie beside it as HTML; the axis begins and ends
on a tick, so that its words need no coordinates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from webapp.core.plotting import Scale, path, ticks
from webapp.cycles.compare import mean_gain, metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webapp.cycles.compare import Interval
    from webapp.cycles.models import Cycle

WIDTH: Final = 100.0
HEIGHT: Final = 26
_MIDDLE: Final = HEIGHT / 2
# Below this a score did not move on the page.
_STILL: Final = 0.0005


@dataclass(frozen=True, slots=True)
class Span:
    """One cycle: a stroke between two values, a dot where it began and one where it ended."""

    cycle: Cycle
    stroke: str
    start: str
    end: str
    tone: str
    before: float | None = None
    after: float | None = None
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """Rows from the first cycle to the last. `rules` are the x of the ticks, `words` what they say, evenly
    spaced; `zero` is the x of 0 in a picture of changes."""

    spans: list[Span]
    rules: list[float]
    words: list[str]
    zero: float | None = None
    height: int = HEIGHT


def retention_picture(cycles: Sequence[Cycle]) -> Picture | None:
    """Mean retention before -> after of each cycle, or None when no cycle knows any."""
    found = [(cycle, *metric(cycle, "retention")) for cycle in cycles]
    known = [value for _, before, after in found for value in (before, after) if value is not None]
    if not known:
        return None
    axis = round_axis(min(known), max(1.0, *known))
    x = Scale(axis[0], axis[-1], 0.0, WIDTH)
    spans = []
    for cycle, before, after in found:
        stroke = path([(x(v), _MIDDLE) for v in (before, after) if v is not None])
        tone = "plain" if before is None or after is None else _tone(after - before)
        spans.append(Span(cycle, stroke, _dot(x, before), _dot(x, after), tone, before, after))
    return Picture(spans, [x(tick) for tick in axis], tick_words(axis))


def gain_picture(cycles: Sequence[Cycle]) -> Picture | None:
    """Mean gain over the tasks proved, with its interval as each report holds it; None when none does."""
    found = [(cycle, mean_gain(cycle)) for cycle in cycles]
    ends = [end for _, gain in found if gain for end in (gain.low, gain.high, gain.value)]
    if not ends:
        return None
    axis = round_axis(min(0.0, *ends), max(0.0, *ends))
    x = Scale(axis[0], axis[-1], 0.0, WIDTH)
    spans = []
    for cycle, gain in found:
        if gain is None:
            spans.append(Span(cycle, "", "", "", "plain"))
            continue
        stroke = path([(x(gain.low), _MIDDLE), (x(gain.high), _MIDDLE)])
        tone = "good" if gain.low > 0 else "bad" if gain.high < 0 else "plain"
        spans.append(Span(cycle, stroke, "", _dot(x, gain.value), tone, interval=gain))
    return Picture(spans, [x(tick) for tick in axis], tick_words(axis), zero=x(0.0))


def round_axis(low: float, high: float) -> list[float]:
    """Evenly spaced round values, the first at or below `low`, the last at or above `high`; at least two."""
    if high - low < 1e-6:
        low, high = low - 0.05, high + 0.05
    inner = ticks(low, high, 4)
    step = inner[1] - inner[0] if len(inner) > 1 else high - low
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 9) + 0.0 for n in range(first, last + 1)]


def tick_words(axis: Sequence[float]) -> list[str]:
    """All with as many digits as the one that needs most: "0.40", "0.60"."""
    digits = next(d for d in range(1, 10) if d == 9 or all(abs(round(v, d) - v) < 1e-9 for v in axis))
    return [f"{value:.{digits}f}".replace("-", "−") for value in axis]


def _dot(x: Scale, value: float | None) -> str:
    return "" if value is None else path([(x(value), _MIDDLE)])


def _tone(change: float) -> str:
    return "plain" if abs(change) < _STILL else "good" if change > 0 else "bad"
