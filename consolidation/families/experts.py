"""A mixture of experts in the place of an MLP (Shazeer et al. 2017), as Mixtral has it.

Every expert is three layers of its own, under the names that files have, where the transformers library packs
them into one tensor: so each is pruned, weighed and saved like any other layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class ExpertLayer(nn.Linear):
    """Sees the tokens that were given to its expert, of whatever record they are."""


class Expert(nn.Module):
    """w2(act(w1 x) * w3 x) of tokens [n, width]."""

    def __init__(self, width: int, inner: int, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.w1 = ExpertLayer(width, inner, bias=False)
        self.w2 = ExpertLayer(inner, width, bias=False)
        self.w3 = ExpertLayer(width, inner, bias=False)
        self.act = act

    def forward(self, h: Tensor) -> Tensor:
        return cast("Tensor", self.w2(self.act(self.w1(h)) * self.w3(h)))


class SparseExperts(nn.Module):
    """h [n, length, width] to the same: of each token the answers of the experts that its gate rates highest,
    weighted by their share among these."""

    def __init__(self, config: Mapping[str, Any], act: Callable[[Tensor], Tensor], spread: float) -> None:
        super().__init__()
        width, count = config["hidden_size"], config["num_local_experts"]
        self.asked: int = config["num_experts_per_tok"]
        self.gate = nn.Linear(width, count, bias=False)
        self.experts = nn.ModuleList(Expert(width, config["intermediate_size"], act) for _ in range(count))
        for weight in self.parameters():
            nn.init.normal_(weight, std=spread)

    def forward(self, h: Tensor) -> Tensor:
        tokens = h.reshape(-1, h.shape[-1])
        rated, chosen = torch.softmax(self.gate(tokens), 1).topk(self.asked, 1)
        shares = rated / rated.sum(1, keepdim=True)
        told = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            rows, places = torch.where(chosen == number)
            if len(rows):
                told = told.index_add(0, rows, expert(tokens[rows]) * shares[rows, places, None])
        return told.reshape(h.shape)
