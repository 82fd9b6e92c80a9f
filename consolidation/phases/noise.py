"""Noise on hidden states, by hooks that live only inside a `with` block."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def noisy(
    blocks: list[nn.Module], sigma: float, generator: torch.Generator, tokens: bool = False
) -> Iterator[None]:
    """Inside, every block gives h + sigma * rms(h) * eps, eps ~ N(0, I).

    rms is over the features of a sample. With `tokens` states [n, T, width] are sequences, and it is over the
    features of each token by itself: the first token of a language model is a hundred times as large as the
    others (massive activations, Sun et al. 2024), and in units of it the noise drowns them. The size of the
    noise is taken as a constant in the gradient. With sigma 0 nothing is hooked and nothing drawn.
    """

    def hook(_module: nn.Module, _args: Any, h: Tensor) -> Tensor:
        flat = h.detach() if tokens and h.ndim == 3 else h.detach().flatten(1)
        size = torch.linalg.vector_norm(flat, dim=-1, keepdim=True).mul_(sigma / math.sqrt(flat.shape[-1]))
        eps = torch.randn(flat.shape, generator=generator, device=h.device, dtype=h.dtype)
        return h + eps.mul_(size).view_as(h)

    handles = [block.register_forward_hook(hook) for block in blocks] if sigma > 0 else []
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def recorded(blocks: list[nn.Module]) -> Iterator[list[Tensor]]:
    """Inside, the outputs of the blocks are appended to the list, as later blocks see them."""
    seen: list[Tensor] = []

    def hook(_module: nn.Module, _args: Any, h: Tensor) -> None:
        seen.append(h)

    handles = [block.register_forward_hook(hook) for block in blocks]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
