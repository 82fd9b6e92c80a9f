"""How sure a figure is: percentile bootstrap over what was repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

DRAWS = 2000


def bootstrap(
    figure: Callable[[NDArray[np.intp]], float], count: int, *, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """The interval of `figure`, over repetitions drawn with replacement.

    Args:
        figure: of some of the repetitions 0 to count - 1, [count] indices of them.
    """
    rng = np.random.default_rng(seed)
    values = [figure(rng.integers(0, count, count)) for _ in range(DRAWS)]
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def mean_ratio(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The geometric mean of ratios and its interval: (mean, low, high)."""
    logs = np.log(np.asarray(ratios))
    low, high = bootstrap(lambda drawn: float(np.exp(logs[drawn].mean())), len(logs))
    return float(np.exp(logs.mean())), low, high
