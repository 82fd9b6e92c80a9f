"""DER++ (Buzzega et al. 2020, "Dark Experience for General Continual Learning", eq. 6), full and thinned.

L = CE(f(x), y) + alpha MSE(f(x'), z') + beta CE(f(x''), y''), with two draws from a reservoir that keeps the
logits z the model had when it saw x (before its step). MSE is the mean over examples and logits, those of
the task's own head where tasks have any. Of words and of answers in a text the likeliest choices are kept;
the distance to them is that of `Objective.distance` at temperature 1.

What differs elsewhere: several re-implementations draw once for both terms, which halves the cost and
correlates them; here, as in the authors' repository, the two are drawn apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

from consolidation.baselines.buffer import Memories, ReplayBuffer
from consolidation.baselines.method import Learner, heads
from consolidation.objectives.objective import Stored

if TYPE_CHECKING:
    from torch import Tensor

    from consolidation.baselines.setting import Setting, TaskData


class DarkReplay(Learner):
    """Both replay terms beside every step: three times the compute of fine-tuning at equal batches."""

    name = "derpp"
    stores_logits = True

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.buffer = ReplayBuffer(setting, self.capacity, logits=True, likeliest=self.objective)

    def replays(self) -> bool:
        """Whether the next step replays."""
        return len(self.buffer) > 0

    def replay_terms(self, dark: Memories, labelled: Memories) -> Tensor:
        """alpha MSE(f(x'), z') + beta CE(f(x''), y''), two forward passes as in the paper."""
        self.cost.fb += len(dark.y) + len(labelled.y)
        apart = self.apart(self.out(dark.x), dark)
        label = self.label_loss(self.out(labelled.x), labelled.x, labelled.y, labelled.head)
        return self.hyper.alpha * apart + self.hyper.beta * label

    def apart(self, out: Tensor, dark: Memories) -> Tensor:
        """The mean distance to what was stored."""
        if dark.head is None and dark.top is None:
            return functional.mse_loss(out, dark.z)
        targets = self.objective.targets(dark.x, dark.y)
        stored = Stored(dark.z, dark.top)
        return self.objective.distance(out, targets, stored, "mse", 1.0, dark.head).mean()

    def learn(self, task: int, data: TaskData) -> None:
        left, size = len(data), self.setting.replay_batch
        for rows, x, y in self.batches(data):
            logits = self.out(x)
            loss = self.label_loss(logits, x, y, heads(data, len(y)))
            self.cost.fb += len(y)
            if self.replays():
                loss = loss + self.replay_terms(self.buffer.draw(size), self.buffer.draw(size))
            self.descend(loss)
            if left > 0:
                self.buffer.offer(data, rows, logits)
                left -= len(rows)

    def stored_bytes(self) -> int:
        return self.buffer.stored_bytes()


class ThinDarkReplay(DarkReplay):
    """DER++ that replays on so many evenly spaced steps that its compute is `setting.ratio`: the rival at
    equal cost. A step with replay costs 1 + 2 replay_batch / batch."""

    name = "derpp-thin"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.share = min(1.0, max(0.0, (setting.ratio - 1) * setting.batch / (2 * setting.replay_batch)))
        self._owed = 0.0

    def replays(self) -> bool:
        if not super().replays():
            return False
        self._owed += self.share
        if self._owed < 1.0:
            return False
        self._owed -= 1.0
        return True
