"""Joint training: all tasks at once, shuffled together. The upper bound; it stores everything.

One pass (as many epochs as a task has) over the union, after the last task has come; until then there is
nothing to score. Published joint figures for permuted MNIST are of this kind (Buzzega et al. 2020).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from consolidation.baselines.method import Learner, heads
from consolidation.baselines.storage import RAW, Storage

if TYPE_CHECKING:
    from torch import Tensor

    from consolidation.baselines.setting import Setting, TaskData


class Joint(Learner):
    """theta <- theta - lr grad CE over batches drawn from the union of all tasks."""

    name = "joint"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.scored = False
        self.seen: list[TaskData] = []

    def learn(self, task: int, data: TaskData) -> None:
        self.seen.append(data)
        if len(self.seen) < self.setting.tasks:
            return
        self.begin()
        sizes = torch.tensor([len(part) for part in self.seen])
        owner = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
        place = torch.cat([torch.arange(int(size)) for size in sizes])
        for _ in range(self.setting.epochs):
            order = torch.randperm(len(owner), generator=self.shuffles)
            for items in torch.split(order, self.setting.batch):
                x, y, head = self._gather(owner[items], place[items])
                self.cost.fb += len(y)
                self.descend(self.label_loss(self.out(x), x, y, head))
        self.scored = True

    def _gather(self, owner: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        groups = [(part, place[owner == index]) for index, part in enumerate(self.seen)]
        groups = [(part, rows) for part, rows in groups if len(rows)]
        raw = torch.cat([part.raw(rows) for part, rows in groups])
        y = torch.cat([part.y.index_select(0, rows) for part, rows in groups])
        own = [head for part, rows in groups if (head := heads(part, len(rows))) is not None]
        return self.setting.inputs(raw), y, torch.cat(own) if own else None

    def stored_bytes(self) -> int:
        """Every example in its source's precision, with a label of the narrowest type."""
        own = Storage(RAW, self.setting.outputs)
        return sum(own.set_bytes(part.x, logits=False) for part in self.seen)
