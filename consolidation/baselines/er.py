"""Experience replay (Chaudhry et al. 2019, "On Tiny Episodic Memories in Continual Learning").

L = CE over one batch that joins the stream's batch and as many memories, drawn without replacement from a
reservoir: (sum over the stream + sum over the memories) / (b + m), not the mean of two means.

What differs elsewhere: Avalanche balances its replay batch by task and counts a multi-epoch stream's items
again in each epoch; here, as in the DER repository, the draw is uniform and every item is offered once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from consolidation.baselines.buffer import ReplayBuffer
from consolidation.baselines.method import Learner, heads

if TYPE_CHECKING:
    from torch import Tensor

    from consolidation.baselines.setting import Setting, TaskData


class ExperienceReplay(Learner):
    """1:1 replay beside every step."""

    name = "er"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.buffer = ReplayBuffer(setting, self.capacity, logits=False, likeliest=self.objective)

    def joined(self, x: Tensor, y: Tensor, head: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """The stream's batch, then the memories."""
        if not len(self.buffer):
            return x, y, head
        old = self.buffer.draw(self.setting.replay_batch)
        both = None if head is None or old.head is None else torch.cat([head, old.head])
        return torch.cat([x, old.x]), torch.cat([y, old.y]), both

    def learn(self, task: int, data: TaskData) -> None:
        left = len(data)
        for rows, x, y in self.batches(data):
            both_x, both_y, both_head = self.joined(x, y, heads(data, len(y)))
            self.cost.fb += len(both_y)
            self.descend(self.label_loss(self.out(both_x), both_x, both_y, both_head))
            if left > 0:
                self.buffer.offer(data, rows)
                left -= len(rows)

    def stored_bytes(self) -> int:
        return self.buffer.stored_bytes()
