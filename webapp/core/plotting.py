"""The arithmetic of charts drawn on the server as SVG: round ticks, linear scales, paths with gaps. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
# Below the normal numbers powers of ten are no longer exact; no chart is of such things.
_LEAST = 1e-300


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from `low`..`high` to the coordinates `start`..`end` (`end` may be the smaller)."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The coordinate of a value, rounded to a hundredth; a scale of no width puts all in its middle."""
        if self.high == self.low:
            return round((self.start + self.end) / 2, 2)
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """At most about `count` round values from `low` to `high`, both inside; one when they are the same."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    rough = (high - low) / max(1, count)
    if rough < _LEAST:
        return [low]
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(s * magnitude for s in _STEPS if s * magnitude >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(n * step, 12) + 0.0 for n in range(first, last + 1)]


def path(points: Iterable[tuple[float, float | None]]) -> str:
    """SVG path data through the points; None breaks the line, a lone point is a zero-length stroke."""
    words: list[str] = []
    run: list[tuple[float, float]] = []
    for x, y in [*points, (0.0, None)]:
        if y is not None:
            run.append((x, y))
            continue
        if run:
            words.append(_run(run))
            run = []
    return " ".join(words)


def _run(run: Sequence[tuple[float, float]]) -> str:
    first, *rest = run
    head = f"M{first[0]:g} {first[1]:g}"
    return head + ("".join(f"L{x:g} {y:g}" for x, y in rest) if rest else "h0")


def task_colour(index: int) -> int:
    """The colour token of the task learned as number `index` (from 0), the same on every page: 1 to 8."""
    return index % 8 + 1
