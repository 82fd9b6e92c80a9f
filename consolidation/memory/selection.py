"""Which records are kept as memories. Torch-free."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class Reservoir:
    """A uniform sample of a stream of unknown length (Vitter 1985, algorithm R).

    Every item is counted once, in `seen`; after any number of items each of them is held with the same
    chance, min(1, capacity / seen).
    """

    def __init__(self, capacity: int, seed: int | tuple[int, ...] = 0) -> None:
        self.capacity, self.seen = capacity, 0
        self.items: list[int] = []
        self._rng = np.random.default_rng(seed)

    def offer(self, item: int) -> None:
        """One more item of the stream."""
        self.seen += 1
        if len(self.items) < self.capacity:
            self.items.append(item)
        else:
            slot = int(self._rng.integers(self.seen))
            if slot < self.capacity:
                self.items[slot] = item

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "items": list(self.items), "rng": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen, self.items = int(state["seen"]), [int(item) for item in state["items"]]
        self._rng.bit_generator.state = state["rng"]


def select_reservoir(count: int, keep: int, seed: int) -> Rows:
    """Sorted rows of a uniform sample of `keep` of `count` records."""
    reservoir = Reservoir(keep, seed)
    for row in range(count):
        reservoir.offer(row)
    return np.sort(np.array(reservoir.items, dtype=np.int64))


def select_class_balanced(y: NDArray[np.int64], keep: int, seed: int) -> Rows:
    """Sorted rows of `keep` records, as evenly over the classes as their sizes allow; uniform within a

    class.
    """
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
    chosen = []
    for label, count in zip(classes, quota, strict=True):
        rows = np.flatnonzero(labels == label)
        chosen.append(rows[select_reservoir(len(rows), int(count), (seed << 16) + int(label))])
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


def select(how: str, y: NDArray[np.int64], keep: int, seed: int) -> Rows:
    """Rows kept by the named rule, "class-balanced" or "reservoir"."""
    if how == "class-balanced":
        return select_class_balanced(y, keep, seed)
    return select_reservoir(len(y), keep, seed)
