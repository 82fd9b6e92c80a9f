"""Batches of memories for the replay loop, in the orders of `order.py`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from consolidation.memory.order import RESIDENT_BYTES, LossWeights, Rows, Shares

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from consolidation.memory.store import Records

MODES = ("task-balanced", "uniform", "loss-weighted", "group-balanced")
FIRST = 4  # draws before keeping all in memory is worth while: a sampler may be made for a few steps only
CHUNK = 4096  # records turned into floats at a time, which takes several copies of them


class Batch(NamedTuple):
    """x float32 [n, width], width that of the widest set and narrower records filled up with 0; y int64 [n];
    z float32 [n, classes], rows of zeros where `stored` [n] is false; task int64 [n], the position of each
    record's set. Where only the likeliest choices are stored, `top` int32 [n, S, k] says which they are and z
    is [n, S, k]. `head` int64 [n, 2]: the columns of each record's own head, when tasks have any."""

    x: Tensor
    y: Tensor
    z: Tensor
    stored: Tensor
    task: Tensor
    top: Tensor | None = None
    head: Tensor | None = None

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> Batch:
        """Records of one set without stored answers."""
        n, device = len(y), y.device
        nothing = torch.zeros(n, 0, device=device)
        return cls(x, y, nothing, torch.zeros(n, dtype=torch.bool, device=device), torch.zeros_like(y))

    def part(self, rows: slice) -> Batch:
        """Some records of it."""
        return self._mapped(lambda each: each[rows])

    def take(self, rows: Tensor) -> Batch:
        """Its records in another order."""
        return self._mapped(lambda each: each.index_select(0, rows))

    def to(self, device: torch.device) -> Batch:
        """On another device."""
        return self._mapped(lambda each: each.to(device))

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Batch:
        must = (change(each) for each in (self.x, self.y, self.z, self.stored, self.task))
        may = (None if each is None else change(each) for each in (self.top, self.head))
        return Batch(*must, *may)


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

    @property
    def values(self) -> float:
        """How many values of inputs a batch has, in the mean."""
        rows = sum(len(records) for records in self.sets)
        return self.batch * sum(len(records) * records.width for records in self.sets) / max(1, rows)

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
        numbers = max(records.width for records in self.sets)
        numbers += math.prod(_stored_shape(self.sets, outputs)) * (2 if _some_top(self.sets) else 1)
        size = 4 * int(self.starts[-1]) * numbers
        if size > RESIDENT_BYTES or self.drawn <= FIRST:
            order = np.argsort(flat, kind="stable")
            batch = gather(self.sets, self._grouped(flat[order]), outputs, device)
            back = torch.from_numpy(np.argsort(order)).to(device)
            return batch.take(back)
        if self._resident is None or self._resident.z.shape[1:] != _stored_shape(self.sets, outputs):
            groups = [(i, np.arange(len(records))) for i, records in enumerate(self.sets)]
            self._resident = gather(self.sets, groups, outputs, device)
        rows = torch.from_numpy(flat).to(device)
        return self._resident.take(rows)

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


def _some_top(sets: list[Records]) -> bool:
    return any(records.top is not None for records in sets)


def _stored_shape(sets: list[Records], outputs: int) -> tuple[int, ...]:
    """Of one record's part of `Batch.z`: the same whichever sets a batch is drawn from."""
    if all(records.objective == "classification" for records in sets):
        return (outputs,)
    tops = [records.top.shape[1:] for records in sets if records.top is not None]
    if not tops:
        return (0,)
    choices = max(shape[0] for shape in tops)
    if sets[0].objective == "language":  # one at every place, and a batch is as wide as its widest record
        choices = max(choices, *(records.width for records in sets))
    return choices, min(shape[1] for shape in tops)


def _heads(sets: list[Records], task: NDArray[np.int64], outputs: int) -> Tensor | None:
    """int64 [n, 2]: of a task without a head of its own all columns; None when no task has one."""
    if all(records.head is None for records in sets):
        return None
    edges = np.array([records.head or (0, outputs) for records in sets], np.int64)
    return torch.from_numpy(edges[task])


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
    shape = _stored_shape(sets, outputs)
    z = np.zeros((len(y), *shape), np.float32)
    top = np.zeros((len(y), *shape), np.int32) if _some_top(sets) else None
    stored = np.zeros(len(y), np.bool_)
    place = 0
    for i, rows in groups:
        logits, likeliest, here = sets[i].z, sets[i].top, slice(place, place + len(rows))
        if logits is not None:
            if top is None or likeliest is None:
                z[here] = logits[rows]
            else:
                # they come in order, the likeliest first
                z[here, : logits.shape[1]] = logits[rows][..., : shape[1]]
                top[here, : logits.shape[1]] = likeliest[rows][..., : shape[1]]
            stored[here] = True
        place += len(rows)
    batch = Batch(*(torch.from_numpy(part) for part in (x, y, z, stored, task)))
    batch = batch._replace(
        top=None if top is None else torch.from_numpy(top), head=_heads(sets, task, outputs)
    )
    return batch.to(device)
