"""Extractive question answering: where in a text the answer begins and ends, out [n, 2, length].

y = start * 65536 + end, positions of tokens in the record, both inside the answer (Devlin et al. 2019). The
score is F1 over tokens between the likeliest span and the right one; exact match is an F1 of 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from consolidation.objectives.likeliest import LikeliestKept
from consolidation.objectives.objective import IGNORED, OUTSIDE

SHIFT = 2**16
LONGEST = 32  # tokens of an answer that the score looks for


class ExtractiveQa(LikeliestKept):
    """Two choices a record, among its positions."""

    name = "extractive-qa"

    def targets(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([y // SHIFT, y % SHIFT], 1)

    def reachable(self, out: Tensor, targets: Tensor) -> Tensor:
        """Without what lies in this record's question, or where it is only filled up."""
        at = out.gather(2, targets[..., None].clamp_min(0)).squeeze(2)
        return targets.masked_fill(at <= OUTSIDE, IGNORED)

    def scores(self, out: Tensor, targets: Tensor) -> Tensor:
        start, end = best_spans(out)
        right_start, right_end = targets[:, 0], targets[:, 1]
        shared = (torch.minimum(end, right_end) - torch.maximum(start, right_start) + 1).clamp_min(0)
        lengths = (end - start + 1) + (right_end - right_start + 1)
        found = 2.0 * shared / lengths
        return torch.where(torch.isfinite(out).all(2).all(1), found, 0.0).float()


def best_spans(out: Tensor) -> tuple[Tensor, Tensor]:
    """int64 [n], [n]: start and end of the span of at most LONGEST tokens with the largest sum of logits."""
    n, _, length = out.shape
    sums = out[:, 0, :, None] + out[:, 1, None, :]
    apart = torch.arange(length, device=out.device)
    apart = apart[None, :] - apart[:, None]
    sums = sums.masked_fill((apart < 0) | (apart >= LONGEST), float("-inf"))
    best = torch.nan_to_num(sums, nan=float("-inf")).reshape(n, -1).argmax(1)
    return best // length, best % length
