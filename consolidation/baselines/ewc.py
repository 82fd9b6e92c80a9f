"""Online EWC (Schwarz et al. 2018, "Progress & Compress", eq. 9; Kirkpatrick et al. 2017).

L = CE(f(x), y) + lambda sum_i F_i (theta_i - theta*_i)^2,   F <- gamma F + F_task,   theta* <- theta

F_task is the per-sample Fisher of the task just learned: E_x E_{y ~ p(y|x)} (d log p(y|x) / d theta)^2, over
`SAMPLES` examples. The scale follows the DER repository, whose lambda .7 and gamma 1 are published:
no factor 1/2, F summed over tasks.

What differs elsewhere: the DER repository takes the true label and multiplies each squared gradient by the
batch's mean likelihood exp(-CE), over all training examples one by one; Avalanche, and others, square a
mini-batch's mean gradient, which is about 1/batch of the Fisher. Here labels are drawn from the model itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from consolidation.baselines.method import Learner, heads
from consolidation.memory.store import Records
from consolidation.phases.significance import estimate_fisher

if TYPE_CHECKING:
    from torch import Tensor

    from consolidation.baselines.setting import Setting, TaskData

SAMPLES = 2048


class OnlineEwc(Learner):
    """Fine-tuning, held back where old tasks need the weights."""

    name = "ewc"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.fisher: list[Tensor] = []
        self.anchor: list[Tensor] = []
        self.labels = setting.generator(3)

    def penalty(self) -> Tensor:
        """sum_i F_i (theta_i - theta*_i)^2, 0 before anything is remembered."""
        terms = [
            (f * (p - a).square()).sum()
            for f, p, a in zip(self.fisher, self.parameters, self.anchor, strict=False)
        ]
        return torch.stack(terms).sum() if terms else torch.zeros(())

    def learn(self, task: int, data: TaskData) -> None:
        for _, x, y in self.batches(data):
            self.cost.fb += len(y)
            loss = self.label_loss(self.out(x), x, y, heads(data, len(y)))
            if self.fisher:
                loss = loss + self.hyper.weight * self.penalty()
            self.descend(loss)
        self.remember(task, data)

    def remember(self, task: int, data: TaskData) -> None:
        """Adds this task's Fisher and moves the anchor to where the weights are now."""
        rows = torch.randperm(len(data), generator=self.labels)[:SAMPLES]
        records = Records(
            task=data.name, x=data.raw(rows).numpy(), y=data.y.index_select(0, rows).numpy(),
            classes=self.setting.outputs, transform=self.setting.transform, objective=self.objective.name,
            head=data.head,
        )  # fmt: skip
        found = estimate_fisher(
            self.model, [records], samples=len(rows), labels="sampled", generator=self.labels,
            device=torch.device("cpu"), seed=self.setting.seed + task,
        )  # fmt: skip
        self.cost.fb += found.samples
        new = [found.tensors[name] for name in self.moved]
        old = self.fisher or [torch.zeros_like(tensor) for tensor in new]
        self.fisher = [self.hyper.gamma * before + now for before, now in zip(old, new, strict=True)]
        self.anchor = [parameter.detach().clone() for parameter in self.parameters]

    def stored_bytes(self) -> int:
        """The Fisher, float32. Between tasks the anchor is the model itself; what two methods copy while they
        learn (this one its anchor, the night the model before waking) is counted for neither."""
        return 4 * sum(tensor.numel() for tensor in self.fisher)
