"""Language modelling: at every position the next token, out [n, length, words]; the score is exp(-nll).

A record is [length] ids, filled up; y says how many of its first tokens are only context. Position t answers
for token t + 1, so the last one is never asked.
"""

from __future__ import annotations

import torch
from torch import Tensor

from consolidation.families.tokens import places
from consolidation.objectives.likeliest import LikeliestKept
from consolidation.objectives.objective import IGNORED, Stored


class Language(LikeliestKept):
    """As many choices a record as it has tokens after its context."""

    name = "language"

    def targets(self, x: Tensor, y: Tensor) -> Tensor:
        ids, real = places(x)
        after = torch.full_like(ids, IGNORED)
        after[:, :-1] = torch.where(real[:, 1:], ids[:, 1:], IGNORED)
        position = torch.arange(1, ids.shape[1] + 1, device=ids.device)
        return after.masked_fill(position < y[:, None], IGNORED)

    def nll(self, out: Tensor, targets: Tensor) -> Tensor:
        """A record by itself is shorter than the batch that its targets were made for."""
        return super().nll(out, targets[:, : out.shape[1]])

    def scores(self, out: Tensor, targets: Tensor) -> Tensor:
        """The geometric mean of the chances of a record's tokens; 1 / perplexity of that record."""
        found = torch.exp(-self.loss(out, targets).double())
        return torch.nan_to_num(found, nan=0.0).float()

    def distance(
        self,
        out: Tensor,
        targets: Tensor,
        stored: Stored,
        loss: str,
        temperature: float,
        head: Tensor | None = None,
    ) -> Tensor:
        """As `LikeliestKept.distance`; the positions that only fill up are cut off, as the model does."""
        length = out.shape[1]
        cut = Stored(stored.z[:, :length], None if stored.top is None else stored.top[:, :length])
        return super().distance(out, targets, cut, loss, temperature, head)
