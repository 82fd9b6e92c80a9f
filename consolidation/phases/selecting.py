"""Exactly k of the least salient weights, in O(n), for tensors of any size.

A histogram of log saliency over 2048 bins finds the bin that the k-th smallest lies in; a second pass takes
all below it and, from inside it, the smallest that are still missing. `torch.quantile` refuses more than
2^24 numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BINS = 2048


def select_lowest(
    saliency: Mapping[str, Callable[[], Tensor]], eligible: Mapping[str, Callable[[], Tensor]], k: int
) -> dict[str, Tensor]:
    """{tensor: bool mask} with exactly min(k, eligible) true entries, the least salient; ties by place.

    Args:
        saliency: makes a tensor's saliencies >= 0; called three times, so that only one is held at a time.
        eligible: makes the mask of the entries that may be chosen.
    """
    chosen = {name: torch.zeros_like(eligible[name]()) for name in saliency}
    low, high, zeros, count = float("inf"), float("-inf"), 0, 0
    for name, make in saliency.items():
        values = make()[eligible[name]()]
        positive = values[values > 0]
        zeros += values.numel() - positive.numel()
        count += values.numel()
        if positive.numel():
            low, high = min(low, float(positive.min().log())), max(high, float(positive.max().log()))
    k = min(k, count)
    if k <= 0:
        return chosen
    width = (high - low) / BINS or 1.0

    def bins(values: Tensor) -> Tensor:
        """Bin 0 holds the zeros, bins 1 to BINS the rest by size."""
        place = ((values.log() - low) / width).floor().clamp(0, BINS - 1).long() + 1
        return torch.where(values > 0, place, torch.zeros_like(place))

    histogram = torch.zeros(BINS + 1, dtype=torch.long)
    for name, make in saliency.items():
        histogram += torch.bincount(bins(make()[eligible[name]()]), minlength=BINS + 1).cpu()
    upto = histogram.cumsum(0)
    edge = int(torch.searchsorted(upto, k))
    missing = k - (int(upto[edge - 1]) if edge else 0)
    inside: list[tuple[str, Tensor, Tensor]] = []
    for name, make in saliency.items():
        values, allowed = make().flatten(), eligible[name]().flatten()
        place = bins(values.clamp_min(0))
        chosen[name].view(-1)[allowed & (place < edge)] = True
        at = torch.nonzero(allowed & (place == edge)).squeeze(1)
        inside.append((name, at, values[at]))
    _take(chosen, inside, missing)
    return chosen


def _take(chosen: dict[str, Tensor], inside: list[tuple[str, Tensor, Tensor]], missing: int) -> None:
    """Marks the `missing` smallest of the edge bin."""
    values = torch.cat([value for _, _, value in inside])
    picked = torch.zeros(len(values), dtype=torch.bool, device=values.device)
    picked[torch.sort(values, stable=True).indices[:missing]] = True
    start = 0
    for name, at, value in inside:
        chosen[name].view(-1)[at[picked[start : start + len(value)]]] = True
        start += len(value)
