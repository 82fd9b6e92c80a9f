"""The denoising objective: from a hidden state with noise on it, the one without.

consistency       sum_l || sg[h_l] - h~_l ||^2 / || sg[h_l] ||^2
linear decoder    sum_l || sg[h_l] - (D_l h~_l + b_l) ||^2 / || sg[h_l] ||^2

h_l is block l's output without noise, h~_l with it, sg stops the gradient; the ratio is per sample, of a
sequence the mean of those of its tokens, as the noise is a token's; then averaged over the batch (denoising
autoencoders: Vincent et al. 2008). Places that only fill a text up count for nothing. D_l is [width, width],
the same at every position of a sequence or picture, begins as the identity, is trained beside the model and
is thrown away in the morning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from consolidation.phases.noise import recorded

if TYPE_CHECKING:
    from collections.abc import Sequence


LEAST_SHARE = 1e-3  # of the mean size of a record's tokens


def consistency(
    clean: Sequence[Tensor], noised: Sequence[Tensor], real: Tensor | None = None, tokens: bool = False
) -> Tensor:
    """sum over blocks of the batch mean of |clean - noised|^2 / |clean|^2.

    Args:
        real: bool [n, length], which places of texts are words; states are [n, length, width] then.
        tokens: whether states [n, length, width] are sequences; with `real` they are.
    """
    terms = []
    for a, b in zip(clean, noised, strict=True):
        if a.ndim == 3 and (tokens or real is not None):
            terms.append(_over_tokens((a - b).square().sum(-1), a.square().sum(-1), real))
        else:
            apart, size = (part.square().flatten(1).sum(1) for part in (a - b, a))
            terms.append((apart / size.clamp_min(1e-12)).mean())
    return torch.stack(terms).sum()


def _over_tokens(apart: Tensor, size: Tensor, real: Tensor | None) -> Tensor:
    """The mean over records of the mean over tokens; one of next to nothing gives no huge ratio."""
    if real is None:
        real = torch.ones_like(size, dtype=torch.bool)
    count = real.sum(1, keepdim=True).clamp_min(1)
    usual = size.masked_fill(~real, 0.0).sum(1, keepdim=True) / count
    ratios = apart / size.maximum(LEAST_SHARE * usual).clamp_min(1e-12)
    return (ratios.masked_fill(~real, 0.0).sum(1, keepdim=True) / count).mean()


class LinearDecoders:
    """One linear map a block.

    Attributes:
        weights: {"block/matrix": [width, width], "block/offset": [width]}, leaves that want a gradient.
    """

    def __init__(self, model: nn.Module, blocks: list[nn.Module], inputs: int, device: torch.device) -> None:
        with torch.no_grad(), recorded(blocks) as seen:
            model(torch.zeros(1, inputs, device=device))
        # features of [n, width] and of pictures [n, width, h, w] are in place 1, of sequences in the last
        self.axes = [1 if h.dim() in (2, 4) else h.dim() - 1 for h in seen]
        self.weights: dict[str, Tensor] = {}
        for index, (h, axis) in enumerate(zip(seen, self.axes, strict=True)):
            width = h.shape[axis]
            self.weights[f"{index}/matrix"] = torch.eye(width, device=device).requires_grad_()
            self.weights[f"{index}/offset"] = torch.zeros(width, device=device).requires_grad_()

    def __call__(self, noised: Sequence[Tensor]) -> list[Tensor]:
        """The guesses at the clean states, in the shapes of the noised ones."""
        found = []
        for index, (h, axis) in enumerate(zip(noised, self.axes, strict=True)):
            moved = h.movedim(axis, -1) @ self.weights[f"{index}/matrix"].T + self.weights[f"{index}/offset"]
            found.append(moved.movedim(-1, axis))
        return found
