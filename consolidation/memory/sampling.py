"""In what order memories are replayed. A sampler's whole state is a few counters, so a resume is exact.

Each stream walks its records in a shuffled order, a new one every pass, seeded by (seed, stream, pass):
nothing is drawn twice before all was drawn once, and no generator has to be stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from consolidation.memory.store import Records

Rows = NDArray[np.int64]


class Batch(NamedTuple):
    """x float32 [n, width]; y int64 [n]; z float32 [n, classes], rows of zeros where `stored` [n] is false;
    task int64 [n], the position of each record's set."""

    x: Tensor
    y: Tensor
    z: Tensor
    stored: Tensor
    task: Tensor


class Walk:
    """An endless walk over n records, pass after pass, each in an order of its own."""

    def __init__(self, n: int, *key: int) -> None:
        self.n, self.key, self.taken = n, key, 0
        self._pass = -1
        self._order: Rows = np.empty(0, np.int64)

    def _at(self, number: int) -> Rows:
        if number != self._pass:
            self._order = np.random.default_rng((*self.key, number)).permutation(self.n)
            self._pass = number
        return self._order

    def take(self, count: int) -> Rows:
        parts = []
        while count > 0:
            number, place = divmod(self.taken, self.n)
            part = self._at(number)[place : place + count]
            parts.append(part)
            self.taken += len(part)
            count -= len(part)
        return np.concatenate(parts) if parts else np.empty(0, np.int64)


class Sampler:
    """Draws batches from several sets.

    Args:
        sets: one a task, or several.
        batch: records a draw.
        mode: "task-balanced" gives every set the same share of each batch, what is left over going round in
        turn;
            "uniform" gives every record the same chance.
        seed: of the orders.
    """

    def __init__(self, sets: list[Records], batch: int, mode: str = "task-balanced", seed: int = 0) -> None:
        self.sets, self.batch, self.mode = sets, batch, mode
        sizes = [len(records) for records in sets]
        self.starts = np.cumsum([0, *sizes])
        self.drawn = 0
        if mode == "uniform":
            self.walks = [Walk(int(self.starts[-1]), seed, 0)]
        else:
            self.walks = [Walk(size, seed, index) for index, size in enumerate(sizes)]

    def draw(self) -> list[tuple[int, Rows]]:
        """The next batch as (set, rows) pairs."""
        count = len(self.sets)
        if self.mode == "uniform":
            flat = self.walks[0].take(self.batch)
            owner = np.searchsorted(self.starts, flat, side="right") - 1
            groups = [(i, flat[owner == i] - self.starts[i]) for i in range(count)]
        else:
            each, extra = divmod(self.batch, count)
            first = (self.drawn * extra) % count
            more = {(first + i) % count for i in range(extra)}
            groups = [(i, self.walks[i].take(each + (i in more))) for i in range(count)]
        self.drawn += 1
        return [(index, rows) for index, rows in groups if len(rows)]

    def next(self, outputs: int, device: torch.device) -> Batch:
        """The next batch as tensors; `outputs` is the width of the model's logits."""
        return gather(self.sets, self.draw(), outputs, device)

    def state_dict(self) -> dict[str, Any]:
        return {"drawn": self.drawn, "taken": [walk.taken for walk in self.walks]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError when the state is of another number of sets."""
        self.drawn = int(state["drawn"])
        for walk, taken in zip(self.walks, state["taken"], strict=True):
            walk.taken = int(taken)


def gather(sets: list[Records], groups: list[tuple[int, Rows]], outputs: int, device: torch.device) -> Batch:
    """The named rows of the named sets as one batch on `device`."""
    x = np.concatenate([sets[i].inputs(rows) for i, rows in groups])
    y = np.concatenate([np.asarray(sets[i].y[rows]) for i, rows in groups])
    task = np.concatenate([np.full(len(rows), i, np.int64) for i, rows in groups])
    z = np.zeros((len(y), outputs), np.float32)
    stored = np.zeros(len(y), np.bool_)
    place = 0
    for i, rows in groups:
        logits = sets[i].z
        if logits is not None:
            z[place : place + len(rows)] = logits[rows]
            stored[place : place + len(rows)] = True
        place += len(rows)
    return Batch(*(torch.from_numpy(part).to(device) for part in (x, y, z, stored, task)))
