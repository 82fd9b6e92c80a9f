"""The protocol of an objective, and what all of them share.

A model gives out [n, *S, C]: for each record, S choices among C. Classification chooses once (S = ()), a
language model at every position, a reader of answers twice: where one begins and where it ends. -log p(y|x)
of a record is the sum over its choices; the training loss is their mean, so that long records do not count
more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100  # the target of a choice that is not asked for
HALF_MOST = 65504.0  # the largest float16
OUTSIDE = -1e4  # the logit of what cannot be chosen: finite, and never of any weight


class Stored(NamedTuple):
    """What is kept of a model's answers: when `top` is None z [n, C], all logits; else `top` int32
    [n, *S, k], the k likeliest of each choice, and z [n, *S, k], the logs of their chances (their logits less
    the log of the sum over all C: what float16 holds best)."""

    z: Tensor
    top: Tensor | None


class Objective(ABC):
    """See the module's docstring.

    Attributes:
        kept: how many of the likeliest are kept of each choice; 0: all logits.
        graded: whether an answer is between right and wrong.
    """

    name: ClassVar[str]
    kept: ClassVar[int] = 0
    graded: ClassVar[bool] = True

    @abstractmethod
    def targets(self, x: Tensor, y: Tensor) -> Tensor:
        """int64 [n, *S] of records x [n, width], y [n]; IGNORED where nothing is asked."""

    @abstractmethod
    def scores(self, out: Tensor, targets: Tensor) -> Tensor:
        """[n]: bool, or float32 in 0..1 (`graded`). What is not finite scores 0."""

    def nll(self, out: Tensor, targets: Tensor) -> Tensor:
        """[n]: -log p(y|x), the sum over the record's choices."""
        flat = functional.cross_entropy(
            out.reshape(-1, out.shape[-1]), targets.reshape(-1), reduction="none", ignore_index=IGNORED
        )
        return flat.reshape(len(targets), -1).sum(1)

    def asked(self, targets: Tensor) -> Tensor:
        """int64 [n]: how many choices of each record are asked for, at least 1."""
        return (targets != IGNORED).reshape(len(targets), -1).sum(1).clamp_min(1)

    def loss(self, out: Tensor, targets: Tensor) -> Tensor:
        """[n]: -log p(y|x) a choice."""
        return self.nll(out, targets) / self.asked(targets)

    def reachable(self, out: Tensor, targets: Tensor) -> Tensor:
        """Targets that may be of other records than the answers: without those that cannot be chosen here."""
        return targets

    @torch.no_grad()
    def sampled(self, out: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
        """Targets drawn from the model's own p(y|x), where any are asked for."""
        p = functional.softmax(out, -1).reshape(-1, out.shape[-1])
        asked = (targets != IGNORED).reshape(-1)
        found = targets.reshape(-1).clone()
        found[asked] = torch.multinomial(p[asked], 1, generator=generator).squeeze(1)
        return found.reshape(targets.shape)

    @abstractmethod
    def stored(self, out: Tensor) -> Stored:
        """What is kept of these answers, in float16."""

    @abstractmethod
    def distance(
        self,
        out: Tensor,
        targets: Tensor,
        stored: Stored,
        loss: str,
        temperature: float,
        head: Tensor | None = None,
    ) -> Tensor:
        """[n]: how far the answers are from stored ones, the mean over the choices that are asked for.

        Args:
            loss: of logits that were all kept, "mse" or "kl". head: as in `narrowed`.
        """


def narrowed(out: Tensor, head: Tensor | None) -> Tensor:
    """Logits [n, C] of which only the columns first..last - 1 of each record's own head count.

    Args:
        head: int64 [n, 2], or None when all columns do.
    """
    if head is None:
        return out
    columns = torch.arange(out.shape[-1], device=out.device)
    outside = (columns < head[:, :1]) | (columns >= head[:, 1:])
    return out.masked_fill(outside, OUTSIDE)
