"""Progressive neural networks (Rusu et al. 2016, eq. 2): a new column a task, old columns frozen.

h_i^k = relu(W_i^k h_{i-1}^k + U_i^k relu(V_i^k [a_i^1 h_{i-1}^1, ..., a_i^{k-1} h_{i-1}^{k-1}])), likewise
for the output: lateral adapters V (to the width of the layer below), with a learned scale a for each old
column.

What differs elsewhere: Avalanche's adapters see only linear projections without a learned scale, and grow a
head by classes. Here a column is a fully connected net with the widths of the benchmark's `mlp`; old columns
are run without gradients and counted as forward-only passes. The column that answers is chosen by the task's
id, so scenarios without ids are refused.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from consolidation.baselines.compute import Cost, in_chunks
from consolidation.errors import NocturneInputError

if TYPE_CHECKING:
    from consolidation.baselines.setting import Setting, TaskData


class Lateral(nn.Module):
    """U relu(V [a_1 h_1, ..., a_k h_k]): what older columns say to one layer of a new one."""

    def __init__(self, columns: int, width: int, out: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((columns, 1, 1), 0.1))
        self.adapter = nn.Linear(columns * width, width)
        self.output = nn.Linear(width, out, bias=False)

    def forward(self, below: Tensor) -> Tensor:
        """below [columns, n, width] -> [n, out]."""
        told = (self.scale * below).permute(1, 0, 2).flatten(1)
        return cast("Tensor", self.output(functional.relu(self.adapter(told))))


class Column(nn.Module):
    """One task's net; it hears the hidden states of the older columns, layer by layer."""

    def __init__(self, widths: list[int], older: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.laterals = nn.ModuleList(
            Lateral(older, a, b) for a, b in pairwise(widths[1:]) if older
        )  # the first layer sees the input only

    def forward(self, x: Tensor, older: list[list[Tensor]]) -> list[Tensor]:
        """Hidden states and, last, the logits. `older`: the same of each older column."""
        states: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            h = layer(states[-1] if states else x)
            if older and index:
                h = h + self.laterals[index - 1](torch.stack([states[index - 1] for states in older]))
            states.append(functional.relu(h) if index < len(self.layers) - 1 else h)
        return states


class ProgressiveNets:
    """See `method.Method`.

    Raises:
        NocturneInputError: `benchmark.task_ids` without task ids; `benchmark.columns` for another family
            than mlp.
    """

    name = "pnn"
    needs_task_ids = True

    def __init__(self, setting: Setting) -> None:
        if not setting.task_ids:
            raise NocturneInputError(
                "benchmark.task_ids",
                "Progressive networks choose a column by the task's id, which this scenario does not tell; "
                "take --task-ids or leave pnn out.",
            )
        model = setting.build(setting.seed)
        if getattr(model, "nocturne_family", None) != "mlp":
            raise NocturneInputError(
                "benchmark.columns",
                "Progressive networks are built from fully connected columns here; take --model mlp or leave "
                "pnn out.",
            )
        self.setting, self.cost, self.scored = setting, Cost(), True
        self.widths: list[int] = list(cast("dict[str, list[int]]", model.nocturne_config)["layers"])
        self.columns: list[Column] = []
        self.lr = setting.hyper(self.name, 1).lr
        self.shuffles = setting.generator(1)

    def grow(self, task: int) -> Column:
        """Freezes what is there and adds a column."""
        for old in self.columns:
            old.requires_grad_(False)
        seed = (self.setting.seed << 8) + 64 + task
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            column = Column(self.widths, len(self.columns))
        # a column starts as every method's model does; the laterals have PyTorch's own start
        start = [layer for layer in self.setting.build(seed).modules() if isinstance(layer, nn.Linear)]
        for layer, begun in zip(column.layers, start, strict=True):
            layer.load_state_dict(begun.state_dict())
        self.columns.append(column)
        return column

    def states(self, x: Tensor, columns: int) -> list[list[Tensor]]:
        """Hidden states and logits of the first `columns` columns, without gradients."""
        found: list[list[Tensor]] = []
        with torch.no_grad():
            for column in self.columns[:columns]:
                found.append(column(x, found))
        return found

    def learn(self, task: int, data: TaskData) -> None:
        column = self.grow(task)
        parameters: list[Tensor] = list(column.parameters())
        inputs = self.setting.inputs(data.raw())
        for _ in range(self.setting.epochs):
            order = torch.randperm(len(data), generator=self.shuffles)
            for rows in torch.split(order, self.setting.batch):
                x, y = inputs.index_select(0, rows), data.y.index_select(0, rows)
                logits = column(x, self.states(x, task))[-1]
                gradients = torch.autograd.grad(functional.cross_entropy(logits, y), parameters)
                with torch.no_grad():
                    torch._foreach_add_(parameters, gradients, alpha=-self.lr)
                self.cost.fb += len(y)
                self.cost.f += task * len(y)
                self.cost.steps += 1

    def logits(self, x: Tensor, task: int) -> Tensor:
        return in_chunks(lambda part: self.states(part, task + 1)[-1][-1], x, 1024)

    def stored_bytes(self) -> int:
        """The columns beyond the first, float32."""
        return 4 * sum(p.numel() for column in self.columns[1:] for p in column.parameters())

    def parameter_count(self) -> int:
        columns = self.columns or [Column(self.widths, 0)]
        return sum(p.numel() for column in columns for p in column.parameters())
