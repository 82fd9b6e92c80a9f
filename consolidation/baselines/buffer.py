"""The memories of experience replay and DER++: a reservoir over the stream, each item offered once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from consolidation.baselines.storage import PUBLISHED, total_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from consolidation.baselines.setting import Setting, TaskData


class Memories(NamedTuple):
    """x float32 [n, width]; y int64 [n]; z float32 [n, outputs], zeros when no logits are stored."""

    x: Tensor
    y: Tensor
    z: Tensor


class ReplayBuffer:
    """A uniform sample of all examples seen (Vitter 1985, algorithm R), whole batches at a time.

    An item is counted once, however many epochs show it again: only the first epoch is offered.
    """

    def __init__(self, setting: Setting, capacity: int, *, logits: bool) -> None:
        self.setting, self.capacity, self.keeps_logits = setting, capacity, logits
        width = setting.sample.shape[1]
        self.x = torch.zeros(capacity, width, dtype=torch.uint8)
        self.y = torch.zeros(capacity, dtype=torch.long)
        self.names = np.full(capacity, "", dtype=object)
        dtype = torch.float32 if setting.codec == PUBLISHED else torch.float16
        self.z = torch.zeros(capacity if logits else 0, setting.outputs, dtype=dtype)
        self.seen = 0
        self._rng = np.random.default_rng((setting.seed, 2))

    def __len__(self) -> int:
        return min(self.seen, self.capacity)

    def offer(self, data: TaskData, rows: Tensor, logits: Tensor | None = None) -> None:
        """Offers rows of a task, in order, with the logits [n, outputs] the model just gave them."""
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
        if self.keeps_logits and logits is not None:
            self.z[into] = logits.detach().index_select(0, items).to(self.z.dtype)

    def draw(self, count: int) -> Memories:
        """`count` different memories, or all there are."""
        chosen = torch.from_numpy(self._rng.choice(len(self), min(count, len(self)), replace=False))
        x = self.setting.inputs(self.x.index_select(0, chosen))
        if not self.keeps_logits:
            return Memories(x, self.y.index_select(0, chosen), torch.zeros(len(x), self.setting.outputs))
        return Memories(x, self.y.index_select(0, chosen), self.z.index_select(0, chosen).float())

    def stored_bytes(self) -> int:
        """Packed task by task, as a night's memories are."""
        sets = [self.x[torch.from_numpy(self.names == name)] for name in sorted(set(self.names) - {""})]
        return total_bytes(self.setting.storage, sets, logits=self.keeps_logits)
