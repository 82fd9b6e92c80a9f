"""As many memories as the bytes hold, and not one byte more."""

from __future__ import annotations

import numpy as np
import pytest

from consolidation.errors import NocturneInputError
from consolidation.memory.budget import fit_budget, fit_rows
from consolidation.memory.selection import select_reservoir
from tests.consolidation.helpers import make_records


@pytest.mark.parametrize("codec", ["raw", "deflate", "columns", "q4", "q1"])
@pytest.mark.parametrize("budget", [600, 2500, 6000])
def test_a_budget_is_used_and_never_exceeded(codec: str, budget: int) -> None:
    sets = [make_records(i, 200, 1, logits=True) for i in range(3)]
    kept = fit_budget(sets, budget, codec, "reservoir", 3)
    total = sum(records.bytes["total"] for records in kept)
    assert budget * 0.85 < total <= budget or all(len(records) == 200 for records in kept)
    assert [records.task for records in kept] == [records.task for records in sets]
    counts = [len(records) for records in kept]
    assert max(counts) - min(counts) <= max(2, max(counts) // 8)  # shares are equal in bytes


def test_what_a_small_set_leaves_goes_to_the_others() -> None:
    sets = [make_records(0, 200, 1), make_records(1, 5, 1), make_records(2, 200, 1)]
    kept = fit_budget(sets, 9 * 105, "raw")  # a record: eight numbers and a label
    assert [len(records) for records in kept] == [50, 5, 50]


def test_a_budget_for_less_than_one_record_a_task_is_refused() -> None:
    sets = [make_records(i, 20, 1, logits=True) for i in range(3)]
    with pytest.raises(NocturneInputError) as caught:
        fit_budget(sets, 50)
    assert caught.value.code == "memories.budget"
    assert "16 bytes are left for 'first', and one memory of it takes 17" in caught.value.message


def test_no_more_than_the_most_are_kept() -> None:
    records = make_records(0, 200, 1)
    rows, kept = fit_rows(records, 10**9, "q1", lambda n: select_reservoir(200, n, 0), 70)
    assert len(rows) == len(kept) == 70
    assert np.array_equal(kept.ids, records.ids[rows])
