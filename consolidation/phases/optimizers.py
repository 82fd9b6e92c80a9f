"""The two optimisers, in the plainest form that can be stored in a snapshot.

They take the same steps as `torch.optim.SGD` and `torch.optim.AdamW` (a test compares them). Ours exist
because making one of torch's imports its compiler, which costs every short-lived trainer two to three
seconds before its first step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping


class Optimizer(Protocol):
    """Moves weights by their `.grad`; its state is named tensors and a count of steps."""

    count: int

    def step(self) -> None: ...
    def tensors(self) -> dict[str, Tensor]: ...
    def load(self, tensors: Mapping[str, Tensor], count: int) -> None: ...


class _Stateful:
    def __init__(self, weights: Mapping[str, Tensor], lr: float, slots: tuple[str, ...]) -> None:
        self.weights, self.lr, self.count = weights, lr, 0
        self._state = {slot: {n: torch.zeros_like(w) for n, w in weights.items()} for slot in slots}

    def tensors(self) -> dict[str, Tensor]:
        """{slot/weight: tensor}; the very tensors, not copies."""
        return {f"{slot}/{n}": t for slot, group in self._state.items() for n, t in group.items()}

    def load(self, tensors: Mapping[str, Tensor], count: int) -> None:
        """Raises KeyError when a tensor is missing."""
        self.count = count
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])


class Sgd(_Stateful):
    """v = momentum v + g; theta -= lr v."""

    def __init__(self, weights: Mapping[str, Tensor], lr: float, momentum: float = 0.0) -> None:
        super().__init__(weights, lr, ("momentum",) if momentum else ())
        self.momentum = momentum

    @torch.no_grad()
    def step(self) -> None:
        self.count += 1
        for name, weight in self.weights.items():
            if weight.grad is None:
                continue
            move = weight.grad
            if self.momentum:
                move = self._state["momentum"][name].mul_(self.momentum).add_(weight.grad)
            weight.sub_(move, alpha=self.lr)


class AdamW(_Stateful):
    """Adam with bias correction (Kingma & Ba 2015) and no weight decay, betas .9 and .999, epsilon 1e-8."""

    def __init__(self, weights: Mapping[str, Tensor], lr: float) -> None:
        super().__init__(weights, lr, ("mean", "square"))

    @torch.no_grad()
    def step(self) -> None:
        self.count += 1
        first, second = 1 - 0.9**self.count, 1 - 0.999**self.count
        for name, weight in self.weights.items():
            if weight.grad is None:
                continue
            mean = self._state["mean"][name].lerp_(weight.grad, 0.1)
            square = self._state["square"][name].mul_(0.999).addcmul_(weight.grad, weight.grad, value=0.001)
            weight.addcdiv_(mean, (square / second).sqrt_().add_(1e-8), value=-self.lr / first)


def make_optimizer(weights: Mapping[str, Tensor], name: str, lr: float, momentum: float) -> Optimizer:
    """The recipe's optimiser, "sgd" or "adamw"."""
    return AdamW(weights, lr) if name == "adamw" else Sgd(weights, lr, momentum)


def clear_gradients(weights: Mapping[str, Tensor]) -> None:
    for weight in weights.values():
        weight.grad = None
