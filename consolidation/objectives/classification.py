"""Classification: logits [n, classes] and labels [n]; the score is accuracy."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from consolidation.objectives.objective import HALF_MOST, Objective, Stored, narrowed


class Classification(Objective):
    """One choice a record: its label."""

    name = "classification"
    graded = False

    def targets(self, x: Tensor, y: Tensor) -> Tensor:
        return y

    def scores(self, out: Tensor, targets: Tensor) -> Tensor:
        return correct(out, targets)

    def asked(self, targets: Tensor) -> Tensor:
        return torch.ones_like(targets)

    def loss(self, out: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(out, targets)

    @torch.no_grad()
    def stored(self, out: Tensor) -> Stored:
        return Stored(out.clamp(-HALF_MOST, HALF_MOST).half(), None)

    def distance(
        self,
        out: Tensor,
        targets: Tensor,
        stored: Stored,
        loss: str,
        temperature: float,
        head: Tensor | None = None,
    ) -> Tensor:
        """As `distillation`; of a task with a head of its own among its columns only."""
        if head is None:
            return distillation(out, stored.z, loss, temperature)
        apart = distillation(narrowed(out, head), narrowed(stored.z, head), loss, temperature)
        # the mean was over all columns, of which only the head's are not equal
        return apart * out.shape[1] / (head[:, 1] - head[:, 0]) if loss == "mse" else apart


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """[n]: -log p(y|x)."""
    return functional.cross_entropy(logits, labels, reduction="none")


def distillation(logits: Tensor, stored: Tensor, loss: str, temperature: float) -> Tensor:
    """[n]: distance to stored logits.

    "mse" is the mean square over classes (DER, Buzzega et al. 2020); "kl" is T^2 KL(stored || new) at
    temperature T (Hinton et al. 2015).
    """
    if loss == "mse":
        return (logits - stored).square().mean(1)
    teacher = functional.log_softmax(stored / temperature, 1)
    student = functional.log_softmax(logits / temperature, 1)
    return temperature**2 * (teacher.exp() * (teacher - student)).sum(1)


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """bool [n]: the likeliest class is the right one. NaN logits are wrong."""
    return (logits.argmax(1) == labels) & torch.isfinite(logits).all(1)
