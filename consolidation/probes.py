"""Held-out records, split once: `watch` steers the night, `proof` judges it.

The split is by record hash, so a record is on the same side in every run. Watch is two fifths of a task's
probe, at most 200 records. Proof is read in the evening and in the morning, never in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from consolidation.errors import NocturneInputError, shorten
from consolidation.fit import asked_of
from consolidation.objectives import objective_of
from consolidation.objectives.objective import narrowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from consolidation.answers import Answers
    from consolidation.memory.store import Records

WATCH_MOST = 200
WATCH_SHARE = 0.4
BORROWED_MOST = 500  # in all: what is asked of memories is paid for, as replay is
CHUNK = 256


def split(records: Records) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of watch and of proof. Records with the same id stay together.

    Raises:
        NocturneInputError: `probes.too_small` when one side would be empty.
    """
    keys = records.ids[:, :8].copy().view(">u8").ravel()
    most = min(WATCH_MOST, max(1, int(WATCH_SHARE * len(keys))))
    limit = np.sort(keys)[most - 1]
    watch = keys <= limit
    if watch.sum() > most and (keys < limit).any():
        watch = keys < limit
    if watch.all():
        raise NocturneInputError(
            "probes.too_small",
            f"The probe of '{shorten(records.task)}' has too few distinct records; at least 2 are "
            "needed, one to steer by and one to prove with.",
        )
    return np.flatnonzero(watch), np.flatnonzero(~watch)


def lowest(records: Records, most: int) -> NDArray[np.int64]:
    """Sorted rows of the at most `most` records with the lowest ids."""
    keys = records.ids[:, :8].copy().view(">u8").ravel()
    return np.sort(np.argsort(keys, kind="stable")[:most])


class Probes:
    """The probes of all tasks, in task order.

    Args:
        stand_in: without any probe, watch is borrowed from these memories, at most 500 in all, the same
        ones at each call: what is rehearsed proves nothing, but a proposal that breaks it is bad for certain.

    Attributes:
        borrowed: whether it is so.

    Raises:
        NocturneInputError: `probes.duplicate` for two probes of one task; `probes.too_small`.
    """

    def __init__(self, sets: list[Records], device: torch.device, stand_in: Sequence[Records] = ()) -> None:
        self.tasks = [records.task for records in sets]
        for task in self.tasks:
            if self.tasks.count(task) > 1:
                raise NocturneInputError(
                    "probes.duplicate", f"'{shorten(task)}' has two probes; give one for each task."
                )
        self._sets = sets
        self._rows = [split(records) for records in sets]
        self._device = device
        self.borrowed = not sets and bool(stand_in)
        self._watch = [(records, rows[0]) for records, rows in zip(sets, self._rows, strict=True)]
        if self.borrowed:
            each = max(1, BORROWED_MOST // len(stand_in))
            self._watch = [(records, lowest(records, each)) for records in stand_in]

    @property
    def records(self) -> int:
        """How many `watch` reads."""
        return sum(len(rows) for _, rows in self._watch)

    @property
    def values(self) -> int:
        """How many values of inputs `watch` reads."""
        return sum(len(rows) * records.width for records, rows in self._watch)

    def watch(self, model: nn.Module, weights: dict[str, Tensor] | None = None) -> dict[str, Answers]:
        """{task: answers [n]} on watch; `weights` stand in for the model's own when given."""
        found: dict[str, list[Answers]] = {}
        for records, rows in self._watch:  # borrowed sets may be several to a task
            found.setdefault(records.task, []).append(self._answers(model, records, rows, weights))
        return {task: _together(parts) for task, parts in found.items()}

    def proof(self, model: nn.Module) -> dict[str, Answers]:
        """{task: answers [n]} on proof. Only for the first and the last stage."""
        return {
            records.task: self._answers(model, records, rows[1], None)
            for records, rows in zip(self._sets, self._rows, strict=True)
        }

    def proof_groups(self) -> dict[str, NDArray[np.int64]]:
        """{task: int64 [n]} the group of each answer on proof, of the tasks whose probes carry groups."""
        found: dict[str, NDArray[np.int64]] = {}
        for records, rows in zip(self._sets, self._rows, strict=True):
            if records.rights.group is not None:
                found[records.task] = np.asarray(records.rights.group)[rows[1]]
        return found

    def _answers(
        self, model: nn.Module, records: Records, rows: NDArray[np.int64], weights: dict[str, Tensor] | None
    ) -> Answers:
        training = model.training
        model.eval()
        parts: list[Answers] = []
        with torch.no_grad():
            objective = objective_of(model)
            at_once = asked_of(model, CHUNK, records.width)
            for place in range(0, len(rows), at_once):
                part = rows[place : place + at_once]
                x = torch.from_numpy(records.inputs(part)).to(self._device)
                y = torch.from_numpy(np.asarray(records.y[part])).to(self._device)
                out = model(x) if weights is None else functional_call(model, weights, (x,))
                head = None if records.head is None else torch.tensor([records.head], device=x.device)
                found = objective.scores(narrowed(out, head), objective.targets(x, y))
                parts.append(found.cpu().numpy())
        model.train(training)
        return _together(parts)


def _together(parts: list[Answers]) -> Answers:
    return cast("Answers", np.concatenate(parts))


def mean(values: dict[str, float]) -> float:
    return sum(values.values()) / len(values) if values else 0.0
