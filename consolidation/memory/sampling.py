"""Batches of memories for the replay loop, in the orders of `order.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from consolidation.memory.order import RESIDENT_BYTES, LossWeights, Rows, Shares

if TYPE_CHECKING:
    from consolidation.memory.store import Records

MODES = ("task-balanced", "uniform", "loss-weighted", "group-balanced")
FIRST = 4  # draws before keeping all in memory is worth while: a sampler may be made for a few steps only
CHUNK = 4096  # records turned into floats at a time, which takes several copies of them


class Batch(NamedTuple):
    """x float32 [n, width], width that of the widest set and narrower records filled up with 0; y int64 [n];
    z float32 [n, classes], rows of zeros where `stored` [n] is false; task int64 [n], the position of each
    record's set."""

    x: Tensor
    y: Tensor
    z: Tensor
    stored: Tensor
    task: Tensor


class Sampler:
    """Draws batches from several sets.

    Args:
        sets: one a task, or several.
        batch: records a draw.
        mode: "task-balanced" gives every set the same share of each batch, what is left over going round in
        turn;
            "uniform" gives every record the same chance;
            "group-balanced" gives every `group` of the records' rights the same share (those without one are
            a group too);
            "loss-weighted" draws by the losses that `observe` was last told.
        seed: of the orders.
    """

    def __init__(self, sets: list[Records], batch: int, mode: str = "task-balanced", seed: int = 0) -> None:
        self.sets, self.batch, self.mode = sets, batch, mode
        self.starts = np.cumsum([0, *(len(records) for records in sets)])
        self.drawn = 0
        self._order = self._ordered(seed)
        self._resident: Batch | None = None
        self._rows: Rows = np.empty(0, np.int64)

    def _ordered(self, seed: int) -> Shares | LossWeights:
        every = np.arange(self.starts[-1])
        if self.mode == "loss-weighted":
            return LossWeights(len(every), self.batch, seed)
        if self.mode == "uniform":
            return Shares([every], self.batch, seed)
        if self.mode == "group-balanced":
            group = np.concatenate([_groups(records) for records in self.sets])
            return Shares([np.flatnonzero(group == one) for one in np.unique(group)], self.batch, seed)
        return Shares(np.split(every, self.starts[1:-1]), self.batch, seed)

    def flat(self) -> Rows:
        """The next batch as rows counted through all sets, int64 [batch]."""
        self._rows = self._order.rows(self.drawn)
        self.drawn += 1
        return self._rows

    def draw(self) -> list[tuple[int, Rows]]:
        """The next batch as (set, rows) pairs."""
        return self._grouped(self.flat())

    def _grouped(self, flat: Rows) -> list[tuple[int, Rows]]:
        owner = np.searchsorted(self.starts, flat, side="right") - 1
        return [(int(i), flat[owner == i] - self.starts[i]) for i in np.unique(owner)]

    def next(self, outputs: int, device: torch.device) -> Batch:
        """The next batch as tensors; `outputs` is the width of the model's logits."""
        flat = self.flat()
        size = 4 * int(self.starts[-1]) * (max(records.width for records in self.sets) + outputs)
        if size > RESIDENT_BYTES or self.drawn <= FIRST:
            order = np.argsort(flat, kind="stable")
            batch = gather(self.sets, self._grouped(flat[order]), outputs, device)
            back = torch.from_numpy(np.argsort(order)).to(device)
            return Batch(*(part.index_select(0, back) for part in batch))
        if self._resident is None or self._resident.z.shape[1] != outputs:
            groups = [(i, np.arange(len(records))) for i, records in enumerate(self.sets)]
            self._resident = gather(self.sets, groups, outputs, device)
        rows = torch.from_numpy(flat).to(device)
        return Batch(*(part.index_select(0, rows) for part in self._resident))

    def observe(self, losses: Tensor) -> None:
        """Tells the loss of each record of the batch drawn last, [batch]; only "loss-weighted" listens."""
        if isinstance(self._order, LossWeights):
            self._order.observe(self._rows, losses.detach().float().cpu().numpy())

    def state_dict(self) -> dict[str, Any]:
        """JSON."""
        if isinstance(self._order, LossWeights):
            return {"drawn": self.drawn, "sets": len(self.sets)} | self._order.state_dict()
        return {"drawn": self.drawn, "sets": len(self.sets)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError when the state is of another number of sets or records."""
        if int(state["sets"]) != len(self.sets):
            raise ValueError("the sampler's state is of another number of sets")
        if isinstance(self._order, LossWeights):
            self._order.load_state_dict(state)
        self.drawn = int(state["drawn"])


def _groups(records: Records) -> Rows:
    """int64 [N]; -1 for records without a group."""
    group = records.rights.group
    return np.full(len(records), -1, np.int64) if group is None else np.asarray(group, np.int64)


def gather(sets: list[Records], groups: list[tuple[int, Rows]], outputs: int, device: torch.device) -> Batch:
    """The named rows of the named sets as one batch on `device`."""
    widths = {sets[i].width for i, _ in groups}
    # texts may be of several lengths; everything else is of one
    new = np.empty if len(widths) == 1 else np.zeros
    x = new((sum(len(rows) for _, rows in groups), max(widths)), np.float32)
    place = 0
    for i, rows in groups:
        for begin in range(0, len(rows), CHUNK):
            part = sets[i].inputs(rows[begin : begin + CHUNK])
            x[place : place + len(part), : part.shape[1]] = part
            place += len(part)
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
