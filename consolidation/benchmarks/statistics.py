"""Means over seeds, and paired differences with their interval. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom
T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def t95(freedom: int) -> float:
    """Above 30 degrees of freedom by its expansion around the normal's 1.96."""
    return T95[freedom - 1] if freedom <= len(T95) else 1.95996 + 2.3722 / freedom + 2.8225 / freedom**2


class Spread(NamedTuple):
    """Mean and sample standard deviation; sd is None for one value."""

    mean: float
    sd: float | None
    seeds: int


def spread(values: Sequence[float]) -> Spread | None:
    """None for no values."""
    if not values:
        return None
    mean = sum(values) / len(values)
    if len(values) == 1:
        return Spread(mean, None, 1)
    return Spread(mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)), len(values))


class Difference(NamedTuple):
    """Mean paired difference and its 95 % t interval; without at least two pairs there is no interval."""

    mean: float
    low: float | None
    high: float | None
    pairs: int

    @property
    def better(self) -> bool:
        return self.low is not None and self.low > 0

    @property
    def worse(self) -> bool:
        return self.high is not None and self.high < 0


def paired_difference(mine: Mapping[int, float], other: Mapping[int, float]) -> Difference | None:
    """Mine minus other over the seeds {seed: value} that both have; None when they share none."""
    pairs = [mine[seed] - other[seed] for seed in sorted(mine.keys() & other.keys())]
    found = spread(pairs)
    if found is None:
        return None
    if found.sd is None:
        return Difference(found.mean, None, None, 1)
    half = t95(found.seeds - 1) * found.sd / math.sqrt(found.seeds)
    return Difference(found.mean, found.mean - half, found.mean + half, found.seeds)
