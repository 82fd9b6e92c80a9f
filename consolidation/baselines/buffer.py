"""The memories of experience replay and DER++: a reservoir over the stream, each item offered once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from consolidation.baselines.storage import PUBLISHED, total_bytes
from consolidation.objectives.objective import HALF_MOST

if TYPE_CHECKING:
    from torch import Tensor

    from consolidation.baselines.setting import Setting, TaskData
    from consolidation.objectives.objective import Objective


class Memories(NamedTuple):
    """x float32 [n, width]; y int64 [n]; z float32 [n, outputs], zeros when no logits are stored; or z and
    `top` as in `objective.Stored`. `head` int64 [n, 2]: the columns of each one's own head, where tasks have
    any."""

    x: Tensor
    y: Tensor
    z: Tensor
    top: Tensor | None = None
    head: Tensor | None = None


class ReplayBuffer:
    """A uniform sample of all examples seen (Vitter 1985, algorithm R), whole batches at a time.

    An item is counted once, however many epochs show it again: only the first epoch is offered.

    Args:
        logits: whether they are stored. likeliest: the model's objective; where it keeps the likeliest
            choices instead of all logits (`Objective.stored`), so does the buffer.
    """

    def __init__(
        self, setting: Setting, capacity: int, *, logits: bool, likeliest: Objective | None = None
    ) -> None:
        self.setting, self.capacity, self.keeps_logits = setting, capacity, logits
        self.likeliest = likeliest if likeliest is not None and likeliest.kept else None
        self.width = setting.sample.shape[1]
        self.x = torch.zeros(capacity, self.width, dtype=setting.sample.dtype)
        self.y = torch.zeros(capacity, dtype=torch.long)
        self.names = np.full(capacity, "", dtype=object)
        self.head: Tensor | None = None
        self.top: Tensor | None = None
        dtype = torch.float32 if setting.codec == PUBLISHED else torch.float16
        whole = logits and self.likeliest is None
        self.z = torch.zeros(capacity if whole else 0, setting.outputs if whole else 0, dtype=dtype)
        self.seen = 0
        self._rng = np.random.default_rng((setting.seed, 2))

    def __len__(self) -> int:
        return min(self.seen, self.capacity)

    def offer(self, data: TaskData, rows: Tensor, logits: Tensor | None = None) -> None:
        """Offers rows of a task, in order, with the logits [n, *S, C] the model just gave them."""
        # item k of the stream (from 0) goes to a place drawn from 0..k, and is held when that is inside
        counts = np.arange(self.seen, self.seen + len(rows))
        drawn = self._rng.integers(0, counts + 1)
        places = np.where(counts < self.capacity, counts, drawn)
        self.seen += len(rows)
        # of two items for one place the later one stays
        last = {int(place): item for item, place in enumerate(places) if place < self.capacity}
        if not last:
            return
        into = torch.tensor(list(last))
        items = torch.tensor(list(last.values()))
        chosen = rows.index_select(0, items)
        self.x[into] = self.setting.storage.given_back(data.raw(chosen))
        self.names[list(last)] = data.name
        self.y[into] = data.y.index_select(0, chosen)
        if data.head is not None:
            if self.head is None:
                self.head = torch.zeros(self.capacity, 2, dtype=torch.long)
            self.head[into] = torch.tensor(data.head)
        if self.keeps_logits and logits is not None:
            told = logits.detach().index_select(0, items)
            if self.likeliest is None:
                self.z[into] = told.to(self.z.dtype)
            else:
                self._keep(into, told, self.likeliest)

    def _keep(self, into: Tensor, told: Tensor, objective: Objective) -> None:
        """The likeliest choices of `told` [n, *S, C]; what there is no answer of has no chance."""
        z, top = objective.stored(told)
        if top is None:
            raise RuntimeError(f"{objective.name} keeps likeliest choices and gave none")
        if self.top is None:
            choices = self.width if objective.name == "language" else z.shape[1]
            shape = (self.capacity, choices, objective.kept)
            self.z = torch.full(shape, -HALF_MOST, dtype=torch.float16)
            self.top = torch.zeros(shape, dtype=torch.int32)
        self.z[into], self.top[into] = -HALF_MOST, 0
        places = (into, slice(z.shape[1]), slice(z.shape[2]))
        self.z[places], self.top[places] = z, top

    def draw(self, count: int) -> Memories:
        """`count` different memories, or all there are."""
        chosen = torch.from_numpy(self._rng.choice(len(self), min(count, len(self)), replace=False))
        x, y = self.setting.inputs(self.x.index_select(0, chosen)), self.y.index_select(0, chosen)
        top, head = (None if each is None else each.index_select(0, chosen) for each in (self.top, self.head))
        if self.keeps_logits:
            return Memories(x, y, self.z.index_select(0, chosen).float(), top, head)
        none = torch.zeros(len(x), 0 if self.likeliest else self.setting.outputs)
        return Memories(x, y, none, top, head)

    def stored_bytes(self) -> int:
        """Packed task by task, as a night's memories are."""
        sets = [self.x[torch.from_numpy(self.names == name)] for name in sorted(set(self.names) - {""})]
        return total_bytes(self.setting.storage, sets, logits=self.keeps_logits)
