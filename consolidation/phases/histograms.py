"""Histograms over the logarithm of many weights, in bins that are the same for every model and night."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

# log10; half a decade a bin for saliencies (squares of squares), a quarter for weights. Fixed, so that before
# and after, and two nights, can be laid over each other.
SIGNIFICANCE_EDGES: Final = tuple(n / 2 for n in range(-36, 5))
WEIGHT_EDGES: Final = tuple(n / 4 for n in range(-24, 9))
_AT_ONCE: Final = 1 << 20


def log_histogram(tensors: Iterable[Tensor], edges: Sequence[float]) -> tuple[list[int], int]:
    """Counts of log10 |value| over all tensors, O(n) and in bounded memory.

    Args:
        tensors: of any shape; values that are not finite are left out.
        edges: [n + 1] equally spaced, in log10; what lies outside counts in the first or last bin.

    Returns:
        (counts [n], how many values are exactly zero).
    """
    bins, low, high = len(edges) - 1, edges[0], edges[-1]
    total = torch.zeros(bins, dtype=torch.int64)
    zeros = 0
    for tensor in tensors:
        for part in torch.split(tensor.reshape(-1), _AT_ONCE):
            size = part.abs().double()
            size = size[torch.isfinite(size)]
            nonzero = size[size > 0]
            zeros += size.numel() - nonzero.numel()
            place = ((nonzero.log10() - low) * (bins / (high - low))).floor().clamp(0, bins - 1)
            total += torch.bincount(place.long(), minlength=bins).cpu()
    return [int(count) for count in total], zeros
