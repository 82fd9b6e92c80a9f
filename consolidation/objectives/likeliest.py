"""Objectives with more choices than all logits could be kept of: the likeliest of each choice are."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor
from torch.nn import functional

from consolidation.objectives.objective import HALF_MOST, IGNORED, OUTSIDE, Objective, Stored
from consolidation.stored_size import LIKELIEST


class LikeliestKept(Objective):
    """What is stored are the likeliest of each choice and the logs of their chances."""

    kept: ClassVar[int] = LIKELIEST

    @torch.no_grad()
    def stored(self, out: Tensor) -> Stored:
        values, top = out.float().topk(min(self.kept, out.shape[-1]), -1)
        z = values - out.float().logsumexp(-1, keepdim=True)
        return Stored(z.clamp_min(-HALF_MOST).half(), top.int())

    def distance(
        self,
        out: Tensor,
        targets: Tensor,
        stored: Stored,
        loss: str,
        temperature: float,
        head: Tensor | None = None,
    ) -> Tensor:
        """Of the k likeliest it is the divergence between what the two say of "which of these, or another":
        KL(m || m') + m T^2 KL_T, with m the mass of the k and KL_T between the two among the k at temperature
        T (Hinton et al. 2015); at T = 1 this is the plain KL of k + 1 outcomes.
        """
        top = cast("Tensor", stored.top).long()  # what `stored` gave, or a set of this objective holds
        # a longer batch had more positions to choose among, and a shorter one was filled up
        inside = (top < out.shape[-1]) & (stored.z > -HALF_MOST)
        student = out.gather(-1, top.clamp_max(out.shape[-1] - 1))
        inside &= student > OUTSIDE  # in a dream they are another record's
        teacher = stored.z.float().masked_fill(~inside, OUTSIDE)
        student = student.masked_fill(~inside, OUTSIDE)
        mass, other = _just_under_0(teacher.logsumexp(-1)), _log_share(student, out)
        told = functional.log_softmax(teacher / temperature, -1)
        said = functional.log_softmax(student / temperature, -1)
        among = temperature**2 * (told.exp() * (told - said)).sum(-1)
        share = mass.exp()
        apart = share * (mass - other + among) + (1 - share) * (_log_rest(mass) - _log_rest(other))
        return torch.where(targets != IGNORED, apart, 0.0).reshape(len(out), -1).sum(1) / self.asked(targets)


def _log_share(some: Tensor, every: Tensor) -> Tensor:
    return _just_under_0(some.logsumexp(-1) - every.logsumexp(-1))


def _just_under_0(log_share: Tensor) -> Tensor:
    """Rounding must not make a share all there is, or more: the log of the rest would be infinite."""
    return log_share.clamp_max(-1e-6)


def _log_rest(log_share: Tensor) -> Tensor:
    return torch.log(-torch.expm1(log_share))
