"""The denoising objective: from a hidden state with noise on it, the one without.

consistency       sum_l || sg[h_l] - h~_l ||^2 / || sg[h_l] ||^2
linear decoder    sum_l || sg[h_l] - (D_l h~_l + b_l) ||^2 / || sg[h_l] ||^2

h_l is block l's output without noise, h~_l with it, sg stops the gradient; the ratio is per sample, of a
sequence per token, as the noise is, then averaged over the batch (denoising autoencoders: Vincent et al.
2008). Places that only fill a text up count for nothing. D_l is [width, width], the same at every position
of a sequence or picture, begins as the identity, is trained beside the model and is thrown away in the
morning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from consolidation.phases.noise import recorded

if TYPE_CHECKING:
    from collections.abc import Sequence


def consistency(clean: Sequence[Tensor], noised: Sequence[Tensor], real: Tensor | None = None) -> Tensor:
    """sum over blocks of the batch mean of |clean - noised|^2 / |clean|^2, over features, or a token's.

    Args:
        real: bool [n, length], which places of texts are words; states are [n, length, width] then.
    """
    terms = []
    for a, b in zip(clean, noised, strict=True):
        if a.ndim != 3:
            a, b = a.flatten(1), b.flatten(1)
        ratios = (a - b).square().sum(-1) / a.square().sum(-1).clamp_min(1e-12)
        if real is not None:
            ratios = ratios[real]
        terms.append(ratios.mean())
    return torch.stack(terms).sum()


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
