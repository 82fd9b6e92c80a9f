"""Which records are kept as memories. Torch-free: features and losses come as arrays."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from consolidation.errors import NocturneInputError, shorten
from consolidation.memory.reservoir import Reservoir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Rows = NDArray[np.int64]
RULES = ("class-balanced", "reservoir", "ring", "herding", "max-loss")
NEEDS_FEATURES, NEEDS_LOSSES = frozenset({"herding"}), frozenset({"max-loss"})


def select_reservoir(count: int, keep: int, seed: int) -> Rows:
    """Sorted rows of a uniform sample of `keep` of `count` records."""
    reservoir = Reservoir(keep, seed)
    reservoir.offer_many(np.arange(count))
    return np.sort(np.array(reservoir.items, dtype=np.int64))


def _per_class(y: NDArray[np.int64], keep: int, pick: Callable[[Rows, int, int], Rows]) -> Rows:
    """`keep` rows as evenly over the classes as sizes allow; pick(rows, quota, label) within a class."""
    labels = np.asarray(y)
    keep = min(keep, len(labels))
    classes, sizes = np.unique(labels, return_counts=True)
    quota = np.zeros(len(classes), np.int64)
    while quota.sum() < keep:
        open_ones = np.flatnonzero(quota < sizes)
        share = max(1, (keep - int(quota.sum())) // len(open_ones))
        for index in open_ones:
            room = min(share, int(sizes[index] - quota[index]), keep - int(quota.sum()))
            quota[index] += room
    chosen = [
        pick(np.flatnonzero(labels == label), int(count), int(label))
        for label, count in zip(classes, quota, strict=True)
    ]
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


def select_class_balanced(y: NDArray[np.int64], keep: int, seed: int) -> Rows:
    """Sorted rows of `keep` records, as evenly over the classes as possible; uniform within a class."""
    return _per_class(
        y, keep, lambda rows, n, label: rows[select_reservoir(len(rows), n, (seed << 16) + label)]
    )


def select_ring(count: int, keep: int) -> Rows:
    """The last `keep` of `count` records, which is what a first-in-first-out ring holds of one task."""
    return np.arange(max(0, count - keep), count)


def herd(features: NDArray[Any], keep: int) -> Rows:
    """int64 [keep]: rows whose running mean stays nearest to the mean of all, best first.

    Features [n, width] are scaled to length 1 first; no row is taken twice. Rebuffi et al. 2017 (iCaRL),
    algorithm 4.
    """
    phi = np.asarray(features, np.float64)
    phi = phi / np.maximum(np.linalg.norm(phi, axis=1, keepdims=True), 1e-12)
    mean, total = phi.mean(0), np.zeros(phi.shape[1])
    squares, free = (phi * phi).sum(1), np.ones(len(phi), np.bool_)
    chosen: list[int] = []
    for k in range(1, min(keep, len(phi)) + 1):
        # |k mean - total - phi|^2 without what all rows share
        apart = squares - 2 * phi @ (k * mean - total)
        best = int(np.where(free, apart, np.inf).argmin())
        chosen.append(best)
        free[best] = False
        total += phi[best]
    return np.array(chosen, np.int64)


def select_herding(y: NDArray[np.int64], keep: int, features: NDArray[Any]) -> Rows:
    """Sorted rows, as evenly over the classes as possible; within a class those of `herd`."""
    return _per_class(y, keep, lambda rows, n, _: rows[herd(features[rows], n)])


def select_max_loss(losses: NDArray[Any], keep: int) -> Rows:
    """Sorted rows of the `keep` largest losses [n]; among equals the earlier ones."""
    return np.sort(np.argsort(-np.asarray(losses, np.float64), kind="stable")[:keep])


def select(
    how: str,
    y: NDArray[np.int64],
    keep: int,
    seed: int,
    *,
    features: NDArray[Any] | None = None,
    losses: NDArray[Any] | None = None,
) -> Rows:
    """Sorted rows kept by the named rule, one of `RULES`.

    Args:
        y: int64 [n].
        features: [n, width], for "herding"; losses: [n], for "max-loss".

    Raises:
        NocturneInputError: `memories.selection` for an unknown rule, or one without what it chooses by.
    """
    if how == "class-balanced":
        return select_class_balanced(y, keep, seed)
    if how == "reservoir":
        return select_reservoir(len(y), keep, seed)
    if how == "ring":
        return select_ring(len(y), keep)
    if how == "herding" and features is not None and len(features) == len(y):
        return select_herding(y, keep, features)
    if how == "max-loss" and losses is not None and len(losses) == len(y):
        return select_max_loss(losses, keep)
    missing = "features" if how in NEEDS_FEATURES else "losses"
    why = f"needs {missing}, one row a record" if how in RULES else f"is not known; known: {', '.join(RULES)}"
    raise NocturneInputError("memories.selection", f"The selection '{shorten(how)}' {why}.")


class Ring:
    """Task-balanced: each task has the same fixed share of `capacity`, first in, first out within it.

    Raises:
        NocturneInputError: `memories.budget` when a task would have no place.
    """

    def __init__(self, capacity: int, tasks: int) -> None:
        if tasks < 1 or capacity < tasks:
            raise NocturneInputError(
                "memories.budget", f"A ring of {capacity} memories has no place for each of {tasks} tasks."
            )
        each, extra = divmod(capacity, tasks)
        self._rings: list[deque[int]] = [deque(maxlen=each + (task < extra)) for task in range(tasks)]

    def offer(self, task: int, items: Iterable[int]) -> None:
        """The next items of a task's stream, in order."""
        self._rings[task].extend(int(item) for item in items)

    def items(self, task: int) -> list[int]:
        """What is held of a task, oldest first."""
        return list(self._rings[task])

    def state_dict(self) -> dict[str, Any]:
        return {"rings": [list(ring) for ring in self._rings]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError when the state is of another number of tasks or of larger shares."""
        for ring, items in zip(self._rings, state["rings"], strict=True):
            if len(items) > (ring.maxlen or 0):
                raise ValueError("the ring's state is of another capacity")
            ring.clear()
            ring.extend(int(item) for item in items)
