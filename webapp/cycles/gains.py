"""What a finished sleep changed, read from its report for tables and chips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from webapp.cycles.models import Cycle


@dataclass(frozen=True)
class Gains:
    """The matrix after the sleep, and how far it moved; fractions of 1, None where not known."""

    retention: float | None
    retention_change: float | None
    forgetting: float | None
    forgetting_change: float | None
    acc: float | None
    acc_change: float | None


def _number(values: Any, name: str) -> float | None:
    value = values.get(name) if isinstance(values, dict) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def forgotten_before(value: float | None) -> float | None:
    """The worst forgetting before a cycle, from the best that its result is held against.

    That best counts the model before as well, which lost nothing against itself. What it had gained over its
    own past (a forgetting below 0) is therefore no level that the result could fall from.
    """
    return value if value is None else max(value, 0.0)


def gains_of(cycle: Cycle) -> Gains | None:
    """The figures of a cycle whose report holds metrics, else None."""
    metrics = cycle.report.get("metrics") if isinstance(cycle.report, dict) else None
    if not isinstance(metrics, dict):
        return None
    figures: list[float | None] = []
    for name in ("retention", "worst_forgetting", "acc"):
        before, after = _number(metrics.get("before"), name), _number(metrics.get("after"), name)
        if name == "worst_forgetting":
            before = forgotten_before(before)
        figures += [after, None if before is None or after is None else after - before]
    return Gains(*figures)
