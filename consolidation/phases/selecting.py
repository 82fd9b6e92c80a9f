"""Exactly k of the least salient weights, in O(n), for tensors of any size and any number of them.

The bits of a positive float32, read as a whole number, grow with the float, nearly as its logarithm. So the
first 11 of them are a log-histogram of 2048 bins, eight to each doubling. It tells which bin the k-th
smallest lies in; a second histogram divides that bin by the next 11 bits, a third by the last 9, and then the
k-th smallest is known to the bit: a radix selection. Tensors are read in blocks, so the extra memory is a
block's. (`torch.quantile` refuses more than 2^24 numbers.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DIGITS = ((20, 11), (9, 11), (0, 9))  # (how far to shift, how many bits), from the first bit behind the sign
NEVER = 2**31 - 1  # the key of what may not be chosen
BLOCK = 1 << 18  # numbers looked at together; a megabyte stays in a processor's cache


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the chosen end: everything whose key is below `key`, and the first `ties` of those equal to it,
    by their place."""

    key: int
    ties: int


def keys(saliency: Tensor, eligible: Tensor | None = None) -> Tensor:
    """int32, ordered as the float32 values >= 0 are; NEVER where not `eligible` (bool, of the same shape)."""
    found = saliency.contiguous().abs().view(torch.int32)
    return found if eligible is None else found.masked_fill_(~eligible, NEVER)


def find_cut(blocks: Callable[[], Iterator[Tensor]], k: int) -> Cut:
    """The cut that takes exactly k, or all that may be chosen where those are fewer.

    Args:
        blocks: makes an iterator over the `keys` of all weights, in the same order each time; it is run
            through three times.
    """
    key, missing, never = 0, k, 0
    for level, (shift, bits) in enumerate(DIGITS):
        histogram = torch.zeros(1 << bits, dtype=torch.int64)
        for place in blocks():
            if level == 0:
                never += int(torch.count_nonzero(place == NEVER))
            else:
                place = place[(place >> (shift + bits)) == key]
            digit = (place >> shift).bitwise_and_((1 << bits) - 1)
            histogram += torch.bincount(digit.flatten(), minlength=1 << bits).cpu()
        upto = histogram.cumsum(0)
        if level == 0:
            missing = min(k, int(upto[-1]) - never)
            if missing <= 0:
                return Cut(0, 0)
        edge = int(torch.searchsorted(upto, missing))
        missing -= int(upto[edge - 1]) if edge else 0
        key = (key << bits) | edge
    return Cut(key, missing)


class Chooser:
    """Marks what lies below a cut, block by block, in the order in which the cut was found."""

    def __init__(self, cut: Cut) -> None:
        self.key, self.left = cut.key, cut.ties

    def __call__(self, place: Tensor) -> Tensor:
        """bool, of the shape of the block's `keys`."""
        chosen = place < self.key
        if self.left:
            at = torch.nonzero((place == self.key).flatten()).squeeze(1)[: self.left]
            self.left -= len(at)
            chosen.view(-1)[at] = True
        return chosen
