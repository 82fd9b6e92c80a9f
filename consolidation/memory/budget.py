"""How many memories fit so many bytes, everything counted. Torch-free."""

from __future__ import annotations

import time
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

    What a small set leaves over goes to the others. Deleted and expired records are left out.

    Args:
        codec: one of `codecs.CODECS`, or "raw"; selection: one of `selection.RULES`.
        features, losses: of every set, for the rules that need them.

    Raises:
        NocturneInputError: `memories.budget` when not even one record of a task fits its share;
            `memories.codec`; `memories.selection`; `memories.empty` for a set of which nothing is left.
    """
    now = time.time()
    alive = [np.flatnonzero(records.rights.alive(len(records), now)) for records in sets]
    for records, rows in zip(sets, alive, strict=True):
        if not len(rows):
            raise NocturneInputError(
                "memories.empty",
                f"Every record of '{shorten(records.task)}' is deleted or has expired; leave the set out.",
            )
    if any(len(rows) < len(records) for records, rows in zip(sets, alive, strict=True)):
        sets = [records.take(rows) for records, rows in zip(sets, alive, strict=True)]
        features = features and [values[rows] for values, rows in zip(features, alive, strict=True)]
        losses = losses and [values[rows] for values, rows in zip(losses, alive, strict=True)]
    found: dict[int, Records] = {}
    left = budget_bytes
    # small sets first: what they leave over is then known
    for place, index in enumerate(sorted(range(len(sets)), key=lambda i: len(sets[i]))):

        def pick(count: int, index: int = index) -> Rows:
            return select(
                selection, np.asarray(sets[index].y), count, seed,
                features=None if features is None else features[index],
                losses=None if losses is None else losses[index],
            )  # fmt: skip

        share = left // (len(sets) - place)
        _, found[index] = fit_rows(sets[index], share, codec, pick, len(sets[index]))
        left -= found[index].bytes["total"]
    return [found[index] for index in range(len(sets))]


def rows_in_budget(
    y: NDArray[np.int64], each: int, budget_bytes: int, *, selection: str, task: str, seed: int = 0
) -> Rows:
    """Sorted rows of as many records of `each` bytes as the budget holds; all when it holds them all.

    Args:
        y: int64 [n].
        selection: a rule of `selection.RULES` that needs no features and no losses.

    Raises:
        NocturneInputError: `memories.budget` when not even one fits; `memories.selection`.
    """
    keep = min(budget_bytes // each, len(y))
    if keep == 0:
        raise NocturneInputError(
            "memories.budget",
            f"The budget is {budget_bytes:,} bytes, and one record of '{shorten(task)}' takes {each:,}; give "
            "more bytes, or leave the budget out.",
        )
    return np.arange(len(y)) if keep == len(y) else select(selection, y, keep, seed)


def fit_rows(
    records: Records, share: int, codec: str, pick: Callable[[int], Rows], most: int
) -> tuple[Rows, Records]:
    """The rows kept and the packed set, as many as `share` bytes hold and at most `most`.

    A code's size is known only when it is made, so the number of records is searched for, to within a record
    or .2 % of the share: a few encodings.

    Args:
        pick: the rows to keep when `count` of them may be kept.

    Raises:
        NocturneInputError: `memories.budget` when not even one record fits.
    """

    def packed(rows: Rows) -> Records:
        return records.take(rows).encoded(codec)

    most = min(most, len(records))
    low, high = 0, most + 1
    best: tuple[Rows, Records] | None = None
    guess = min(most, max(1, share // 64))
    for _ in range(TRIES):
        rows = np.arange(len(records)) if guess == len(records) else pick(guess)
        tried = packed(rows)
        size = tried.bytes["total"]
        if size <= share:
            low, best = guess, (rows, tried)
        else:
            high = guess
        spare = share - size
        if high - low <= 1 or 0 <= spare < max(size // guess, share // 500):
            break
        # what the set has in common is paid once, so the next guess errs on the small side
        guess = min(max(low + 1, guess + spare * guess // size), high - 1)
    if best is None:
        least = packed(pick(1)).bytes["total"]
        raise NocturneInputError(
            "memories.budget",
            f"{share:,} bytes are left for '{shorten(records.task)}', and one memory of it takes {least:,}; "
            "give more bytes, or choose a denser codec.",
        )
    return best
