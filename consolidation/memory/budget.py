"""How many memories fit so many bytes, everything counted. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from consolidation.errors import NocturneInputError, shorten
from consolidation.memory.selection import select

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from consolidation.memory.selection import Rows
    from consolidation.memory.store import Records

TRIES = 12


def fit_budget(
    sets: Sequence[Records],
    budget_bytes: int,
    codec: str = "raw",
    selection: str = "class-balanced",
    seed: int = 0,
    *,
    features: Sequence[NDArray[Any]] | None = None,
    losses: Sequence[NDArray[Any]] | None = None,
) -> list[Records]:
    """The sets cut down so that `bytes["total"]` of all is at most `budget_bytes`, in equal shares.

    What a small set leaves over goes to the others. A code's size is known only when it is made, so the
    number of records is searched for, to within a record or .2 % of the share: a few encodings a set.

    Args:
        codec: one of `codecs.CODECS`, or "raw"; selection: one of `selection.RULES`.
        features, losses: of every set, for the rules that need them.

    Raises:
        NocturneInputError: `memories.budget` when not even one record of a task fits its share;
            `memories.codec`; `memories.selection`.
    """
    found: dict[int, Records] = {}
    left = budget_bytes
    # small sets first: what they leave over is then known
    for place, index in enumerate(sorted(range(len(sets)), key=lambda i: len(sets[i]))):
        records, share = sets[index], left // (len(sets) - place)

        def kept(count: int, index: int = index, records: Records = records) -> Records:
            rows: Rows = np.arange(len(records))
            if count < len(records):
                rows = select(
                    selection, np.asarray(records.y), count, seed,
                    features=None if features is None else features[index],
                    losses=None if losses is None else losses[index],
                )  # fmt: skip
            return records.take(rows).encoded(codec)

        best = _most(kept, len(records), share)
        if best is None:
            raise NocturneInputError(
                "memories.budget",
                f"A budget of {budget_bytes:,} bytes has {share:,} for '{shorten(records.task)}', and one "
                f"memory of it takes {kept(1).bytes['total']:,}; give more bytes, or choose a denser codec.",
            )
        found[index] = best
        left -= best.bytes["total"]
    return [found[index] for index in range(len(sets))]


def _most(kept: Callable[[int], Records], rows: int, share: int) -> Records | None:
    """The largest set that fits, found by interpolation between one that fits and one that does not."""
    low, low_size, high = 0, 0, rows + 1
    best: Records | None = None
    guess = min(rows, max(1, share // 64))
    for _ in range(TRIES):
        tried = kept(guess)
        size = tried.bytes["total"]
        if size <= share:
            low, low_size, best = guess, size, tried
        else:
            high = guess
        spare = share - low_size
        if high - low <= 1 or (best is not None and (spare < size // guess or spare * 500 < share)):
            return best
        each = size / guess
        # sizes grow a little slower than counts, so the next guess errs on the small side
        guess = min(max(low + 1, guess + int((share - size) / each)), high - 1)
    return best
