"""Which record comes when. Orders are functions of (seed, draw), so a resume is exact. Torch-free.

Each stream walks its records in a shuffled order, a new one every pass, seeded by (seed, stream, pass):
nothing is drawn twice before all was drawn once, and no generator has to be stored.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
RESIDENT_BYTES = 1 << 28  # float32 inputs and logits of all sets up to this size stay in memory
AHEAD = 64  # draws that are laid out together
HOLD = 16  # draws between two looks at the losses
FLOOR = 0.1  # least weight of a record, in units of the mean loss


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

    def between(self, begin: int, end: int) -> Rows:
        """The records at places `begin` to `end` of the walk."""
        parts = []
        while begin < end:
            number, place = divmod(begin, self.n)
            part = self._at(number)[place : place + end - begin]
            parts.append(part)
            begin += len(part)
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def take(self, count: int) -> Rows:
        """The next `count` records."""
        self.taken += count
        return self.between(self.taken - count, self.taken)


class Shares:
    """Draws that give every bucket the same share, what is left over going round in turn.

    Args:
        buckets: rows of each (one bucket: uniform over its rows).
    """

    def __init__(self, buckets: list[Rows], batch: int, seed: int) -> None:
        self.buckets, self.batch = buckets, batch
        self.walks = [Walk(len(bucket), seed, index) for index, bucket in enumerate(buckets)]
        self._first = -AHEAD
        self._block: Rows = np.empty((0, batch), np.int64)

    def taken(self, draws: Rows) -> Rows:
        """int64 [buckets, draws]: how many records of each bucket are gone before these draws."""
        count = len(self.buckets)
        each, extra = divmod(self.batch, count)
        turn = np.arange(count)[:, None]
        found: Rows = draws * each + (draws * extra + count - 1 - turn) // count
        return found

    def rows(self, drawn: int) -> Rows:
        """The rows of draw number `drawn`, bucket after bucket."""
        if not self._first <= drawn < self._first + AHEAD:
            self._first = drawn - drawn % AHEAD
            self._block = self._lay_out(self._first)
        found: Rows = self._block[drawn - self._first]
        return found

    def _lay_out(self, first: int) -> Rows:
        ends = self.taken(np.arange(first, first + AHEAD + 1))
        parts = [
            bucket[walk.between(int(end[0]), int(end[-1]))]
            for bucket, walk, end in zip(self.buckets, self.walks, ends, strict=True)
        ]
        draw = [np.repeat(np.arange(AHEAD), np.diff(end)) for end in ends]
        order = np.argsort(np.concatenate(draw), kind="stable")
        found: Rows = np.concatenate(parts)[order].reshape(AHEAD, self.batch)
        return found


class LossWeights:
    """Draws with chances proportional to the loss that a record had when it was last seen, with a floor.

    A record not seen yet counts as the mean of the seen ones. Chances are refreshed every `HOLD` draws. (Loss
    as priority: Schaul et al. 2016, proportional variant, without importance weights.)
    """

    def __init__(self, count: int, batch: int, seed: int) -> None:
        self.batch, self.seed = batch, seed
        self.losses = np.full(count, np.nan, np.float32)
        self._ends = np.cumsum(np.ones(count))
        self._held = self.losses.copy()

    def _hold(self, losses: NDArray[np.float32]) -> None:
        self._held = losses.copy()
        seen = np.isfinite(losses)
        mean = float(losses[seen].mean(dtype=np.float64)) if seen.any() else 1.0
        mean = mean if mean > 0 else 1.0
        self._ends = np.cumsum(np.maximum(np.where(seen, losses, mean), FLOOR * mean), dtype=np.float64)

    def rows(self, drawn: int) -> Rows:
        """The rows of draw number `drawn`; draws must be asked for in order."""
        if drawn % HOLD == 0:
            self._hold(self.losses)
        # one uniform number and evenly spaced ones after it: little variance, and no record far too often
        start = np.random.default_rng((self.seed, drawn)).random()
        points = (np.arange(self.batch) + start) / self.batch * self._ends[-1]
        found: Rows = np.minimum(np.searchsorted(self._ends, points, side="right"), len(self._ends) - 1)
        return found

    def observe(self, rows: Rows, losses: NDArray[np.float32]) -> None:
        """Notes losses [n] of rows [n]; not finite ones are left out."""
        good = np.isfinite(losses)
        self.losses[rows[good]] = np.maximum(losses[good], 0)

    def state_dict(self) -> dict[str, Any]:
        """JSON: float32, little endian, base64."""
        return {"losses": _text(self.losses), "held": _text(self._held)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError when the state is of another number of records."""
        losses, held = (np.frombuffer(base64.b64decode(state[key]), "<f4") for key in ("losses", "held"))
        if len(losses) != len(self.losses) or len(held) != len(losses):
            raise ValueError("the sampler's state is of another number of records")
        self.losses = losses.copy()
        self._hold(held)


def _text(values: NDArray[np.float32]) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()
