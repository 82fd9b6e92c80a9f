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

    def _moved(self) -> tuple[list[str], list[Tensor], list[Tensor]]:
        """Names, weights and gradients of all that the loss reached."""
        found = [(name, w, w.grad) for name, w in self.weights.items() if w.grad is not None]
        return [n for n, _, _ in found], [w for _, w, _ in found], [g for _, _, g in found]

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
        names, weights, grads = self._moved()
        if self.momentum:
            speed = [self._state["momentum"][name] for name in names]
            torch._foreach_mul_(speed, self.momentum)
            torch._foreach_add_(speed, grads)
            grads = speed
        torch._foreach_add_(weights, grads, alpha=-self.lr)


class AdamW(_Stateful):
    """Adam with bias correction (Kingma & Ba 2015) and no weight decay, betas .9 and .999, epsilon 1e-8."""

    def __init__(self, weights: Mapping[str, Tensor], lr: float) -> None:
        super().__init__(weights, lr, ("mean", "square"))

    @torch.no_grad()
    def step(self) -> None:
        self.count += 1
        first, second = 1 - 0.9**self.count, 1 - 0.999**self.count
        names, weights, grads = self._moved()
        mean = [self._state["mean"][name] for name in names]
        square = [self._state["square"][name] for name in names]
        torch._foreach_lerp_(mean, grads, 0.1)
        torch._foreach_mul_(square, 0.999)
        torch._foreach_addcmul_(square, grads, grads, value=0.001)
        for weight, m, s in zip(weights, mean, square, strict=True):  # one scratch tensor at a time
            weight.addcdiv_(m, (s / second).sqrt_().add_(1e-8), value=-self.lr / first)


def make_optimizer(weights: Mapping[str, Tensor], name: str, lr: float, momentum: float) -> Optimizer:
    """The recipe's optimiser, "sgd" or "adamw"."""
    return AdamW(weights, lr) if name == "adamw" else Sgd(weights, lr, momentum)


def clear_gradients(weights: Mapping[str, Tensor]) -> None:
    for weight in weights.values():
        weight.grad = None


@torch.no_grad()
def gradient_norm(weights: Mapping[str, Tensor]) -> Tensor:
    """The Euclidean norm of all gradients together, a scalar."""
    grads = [weight.grad for weight in weights.values() if weight.grad is not None]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
    return norm


@torch.no_grad()
def clip_gradients(weights: Mapping[str, Tensor], norm: float, most: float) -> None:
    """Scales all gradients down to norm `most` (Pascanu et al. 2013) when `norm` is above it; 0: never."""
    if 0 < most < norm:
        grads = [weight.grad for weight in weights.values() if weight.grad is not None]
        torch._foreach_mul_(grads, most / (norm + 1e-6))
