"""The protocol of a continual-learning method, what most of them share, and where each is found."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, Protocol, cast

import torch
from torch.nn import functional

from consolidation.baselines.compute import Cost, in_chunks
from consolidation.errors import NocturneInputError, shorten
from consolidation.objectives import objective_of
from consolidation.objectives.objective import narrowed
from consolidation.phases.optimizers import clip_gradients, gradient_norm, make_optimizer
from consolidation.phases.precision import passes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from consolidation.baselines.setting import Setting, TaskData
    from consolidation.phases.optimizers import Optimizer

METHODS = {
    "finetune": "consolidation.baselines.finetune:Finetune",
    "joint": "consolidation.baselines.joint:Joint",
    "er": "consolidation.baselines.er:ExperienceReplay",
    "ewc": "consolidation.baselines.ewc:OnlineEwc",
    "derpp": "consolidation.baselines.derpp:DarkReplay",
    "derpp-thin": "consolidation.baselines.derpp:ThinDarkReplay",
    "pnn": "consolidation.baselines.pnn:ProgressiveNets",
    "sleep": "consolidation.baselines.sleep:Sleep",
    "sleep-literal": "consolidation.baselines.sleep:LiteralSleep",
}


class Method(Protocol):
    """Learns tasks in turn; every random draw follows from the setting's seed.

    Attributes:
        needs_task_ids: whether `logits` looks at the task.
        cost: passes and steps so far. scored: whether `logits` means anything yet (joint: only at the end).
    """

    name: ClassVar[str]
    needs_task_ids: ClassVar[bool]
    cost: Cost
    scored: bool

    def learn(self, task: int, data: TaskData) -> None:
        """Learns the next task, number `task` from 0."""

    def logits(self, x: Tensor, task: int) -> Tensor:
        """[n, *S, C] for inputs [n, width] of task `task`; only methods with task ids look at it."""

    def stored_bytes(self) -> int:
        """Bytes kept between tasks beside the model itself."""

    def parameter_count(self) -> int:
        """Weights of the model as it is now."""


def make_method(name: str, setting: Setting) -> Method:
    """Raises NocturneInputError (`benchmark.method`) for an unknown name; a method may refuse the setting."""
    if name not in METHODS:
        raise NocturneInputError(
            "benchmark.method", f"No method is called {shorten(name)!r}; there are {', '.join(METHODS)}."
        )
    module, cls = METHODS[name].split(":")
    return cast("Method", getattr(import_module(module), cls)(setting))


class Learner:
    """A single model with the setting's optimiser; subclasses say what a step descends."""

    name: ClassVar[str] = ""
    needs_task_ids: ClassVar[bool] = False
    stores_logits: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self.setting, self.cost, self.scored = setting, Cost(), True
        self.model = setting.build(setting.seed)
        self.objective = objective_of(self.model)
        self.moved = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.parameters: list[Tensor] = list(self.moved.values())
        self.optimizer = self.new_optimizer()
        self.shuffles = setting.generator(1)
        self.capacity = setting.capacity(logits=self.stores_logits, beside=self.beside_bytes())
        self.hyper = setting.hyper(self.name, self.capacity)

    def beside_bytes(self) -> int:
        """Bytes that this method stores beside memories; they come out of a budget in bytes."""
        return 0

    def stored_bytes(self) -> int:
        return 0

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    def new_optimizer(self) -> Optimizer | None:
        """None for plain SGD, which has no state."""
        name = self.setting.optimizer
        if name == "sgd" and self.setting.clip == 0:
            return None
        return make_optimizer(self.moved, name, self.setting.hyper(self.name, 1).lr, 0.0)

    def logits(self, x: Tensor, task: int) -> Tensor:
        with passes(self.setting.precision, x.device):
            return in_chunks(self.model, x, 1024).float()

    def batches(self, data: TaskData) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """(rows, x float32 [b, width], y [b]) through all epochs, shuffled anew in each."""
        self.begin()
        inputs = self.setting.inputs(data.raw())
        for _ in range(self.setting.epochs):
            order = torch.randperm(len(data), generator=self.shuffles)
            for rows in torch.split(order, self.setting.batch):
                yield rows, inputs.index_select(0, rows), data.y.index_select(0, rows)

    def begin(self) -> None:
        """A new task: the optimiser remembers nothing of the last one."""
        self.model.train()
        self.optimizer = self.new_optimizer()

    def learn(self, task: int, data: TaskData) -> None:
        for _, x, y in self.batches(data):
            self.cost.fb += len(y)
            self.descend(self.label_loss(self.out(x), x, y, heads(data, len(y))))

    def out(self, x: Tensor) -> Tensor:
        """float32 [n, *S, C]: one pass forward, in the setting's precision."""
        with passes(self.setting.precision, x.device):
            found: Tensor = self.model(x)
        return found.float()

    def label_loss(self, out: Tensor, x: Tensor, y: Tensor, head: Tensor | None) -> Tensor:
        """The mean over records of -log p(y|x) a choice, among the columns of each record's own head."""
        if head is None and self.objective.name == "classification":
            return functional.cross_entropy(out, y)
        return self.objective.loss(narrowed(out, head), self.objective.targets(x, y)).mean()

    def descend(self, loss: Tensor) -> None:
        """One step of the optimiser, in place.

        Raises:
            NocturneInputError: `benchmark.diverged` when the loss is no finite number.
        """
        gradients = torch.autograd.grad(loss, self.parameters)
        if not torch.isfinite(loss.detach()):
            raise NocturneInputError(
                "benchmark.diverged",
                f"The loss of {self.name} stopped being a finite number at step {self.cost.steps + 1}; take "
                f"a lower learning rate than {self.hyper.lr:g}.",
            )
        self.cost.steps += 1
        if self.optimizer is None:
            with torch.no_grad():
                torch._foreach_add_(self.parameters, gradients, alpha=-self.hyper.lr)
            return
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        if self.setting.clip > 0:
            clip_gradients(self.moved, float(gradient_norm(self.moved)), self.setting.clip)
        self.optimizer.step()
        for parameter in self.parameters:
            parameter.grad = None


def heads(data: TaskData, count: int) -> Tensor | None:
    """int64 [count, 2]: the task's own head for each of so many records; None when it has none."""
    return None if data.head is None else torch.tensor([data.head]).expand(count, 2)
