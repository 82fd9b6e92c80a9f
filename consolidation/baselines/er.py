"""Experience replay (Chaudhry et al. 2019, "On Tiny Episodic Memories in Continual Learning").

L = CE over one batch that joins the stream's batch and as many memories, drawn without replacement from a
reservoir: (sum over the stream + sum over the memories) / (b + m), not the mean of two means.

What differs elsewhere: Avalanche balances its replay batch by task and counts a multi-epoch stream's items
again in each epoch; here, as in the DER repository, the draw is uniform and every item is offered once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from consolidation.baselines.buffer import ReplayBuffer
from consolidation.baselines.method import Learner

if TYPE_CHECKING:
    from torch import Tensor

    from consolidation.baselines.setting import Setting, TaskData


class ExperienceReplay(Learner):
    """1:1 replay beside every step."""

    name = "er"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.buffer = ReplayBuffer(setting, self.capacity, logits=False)

    def joined(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The stream's batch, then the memories."""
        if not len(self.buffer):
            return x, y
        old = self.buffer.draw(self.setting.replay_batch)
        return torch.cat([x, old.x]), torch.cat([y, old.y])

    def learn(self, task: int, data: TaskData) -> None:
        left = len(data)
        for rows, x, y in self.batches(data):
            both_x, both_y = self.joined(x, y)
            self.cost.fb += len(both_y)
            self.descend(functional.cross_entropy(self.model(both_x), both_y))
            if left > 0:
                self.buffer.offer(data, rows)
                left -= len(rows)

    def stored_bytes(self) -> int:
        return self.buffer.stored_bytes()
