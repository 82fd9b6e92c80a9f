"""What every method is given, the same for all: the tasks, the model, the optimiser's facts, the budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from consolidation.baselines.storage import Storage
from consolidation.errors import NocturneInputError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from consolidation.memory.store import Transform


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskData:
    """One task's training set, in its source's precision.

    Attributes:
        x: uint8 [n, width], or int32 ids of tokens, shared between tasks; `columns` int64 [width] says how
            this task orders it.
        y: int64 [n]. classes: the labels that occur in this task.
        head: (first, last), the columns of the logits that are this task's own head, last excluded.
    """

    name: str
    x: Tensor
    y: Tensor
    classes: tuple[int, ...]
    columns: Tensor | None = None
    head: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.y)

    def raw(self, rows: Tensor | None = None) -> Tensor:
        """[m, width], of the type of x."""
        chosen = self.x if rows is None else self.x.index_select(0, rows)
        return chosen if self.columns is None else chosen.index_select(1, self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyper:
    """What a method's paper tuned. `alpha`, `beta` of DER++; `weight`, `gamma` of online EWC."""

    lr: float
    alpha: float = 0.0
    beta: float = 0.0
    weight: float = 0.0
    gamma: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Everything a method may know.

    Attributes:
        build: a fresh model from a seed. outputs: its logits, or what its records' y can be where that is no
            label. tasks: how many will come.
        optimizer, clip: how all methods move weights, see `phases.optimizers`; each task begins anew.
        precision: of the passes, "fp32" or "bf16" (weights stay in float32), see `phases.precision`.
        answers: numbers that are stored of what a model says of one record; None: `outputs`.
        hyper: (method, records in the buffer) -> Hyper.
        buffer: memories in records, or `buffer_bytes` in bytes: exactly one of them.
        codec: how memories are stored, see `storage`.
        sample: [m, width] records to tell the size of a packed one by.
        task_ids: whether methods are told which task a test example is of.
        ratio: compute that `derpp-thin` may spend. recipe: changes to the night's preset.
    """

    build: Callable[[int], nn.Module]
    outputs: int
    tasks: int
    epochs: int
    batch: int
    replay_batch: int
    transform: Transform
    hyper: Callable[[str, int], Hyper]
    sample: Tensor
    buffer: int | None = None
    buffer_bytes: int | None = None
    codec: str = "float32"
    task_ids: bool = False
    seed: int = 0
    ratio: float = 1.15
    recipe: dict[str, object] | None = None
    optimizer: str = "sgd"
    clip: float = 0.0
    precision: str = "fp32"
    answers: int | None = None

    def __post_init__(self) -> None:
        self.storage.check(self.sample)  # refuses a codec that there is not, or not for these records
        if (self.buffer is None) == (self.buffer_bytes is None):
            raise NocturneInputError(
                "benchmark.buffer", "The memories' budget is given in records or in bytes: give one of them."
            )

    def inputs(self, raw: Tensor) -> Tensor:
        """float32 [n, width]: what the model is given."""
        t = self.transform
        found = raw.float()
        if t.scale != 1.0:
            found.mul_(t.scale)
        return found if (t.mean, t.sd) == (0.0, 1.0) else found.sub_(t.mean).div_(t.sd)

    def generator(self, purpose: int) -> torch.Generator:
        """One random stream a purpose."""
        return torch.Generator().manual_seed((self.seed << 8) + purpose)

    @property
    def storage(self) -> Storage:
        return Storage(self.codec, self.outputs, self.answers)

    def capacity(self, *, logits: bool, beside: int = 0) -> int:
        """Records that fit the budget; `beside`: bytes of it that go to other things. See `Storage`."""
        if self.buffer is not None:
            return self.buffer
        left = (self.buffer_bytes or 0) - beside
        return self.storage.capacity(left, self.sample, self.tasks, logits=logits)
