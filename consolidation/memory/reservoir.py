"""A uniform sample of a stream of unknown length. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Reservoir:
    """Vitter 1985, algorithm R.

    Every item is counted once, in `seen`; after any number of items each of them is held with the same
    chance, min(1, capacity / seen). `offer` and `offer_many` may be mixed.
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

    def offer_many(self, items: Sequence[int] | NDArray[np.int64]) -> None:
        """The next items of the stream, in order, by one draw of all their slots.

        The law is that of `offer`: item number t gets a slot uniform in 0..t - 1, and of those that get one
        slot the last stays.
        """
        fresh = np.asarray(items, np.int64)
        free = min(self.capacity - len(self.items), len(fresh))
        self.items += fresh[:free].tolist()
        self.seen += free
        rest = fresh[free:]
        if not len(rest):
            return
        slots = self._rng.integers(np.arange(self.seen + 1, self.seen + 1 + len(rest)))
        self.seen += len(rest)
        for place in np.flatnonzero(slots < self.capacity):
            self.items[int(slots[place])] = int(rest[place])

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "items": list(self.items), "rng": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen, self.items = int(state["seen"]), [int(item) for item in state["items"]]
        self._rng.bit_generator.state = state["rng"]
