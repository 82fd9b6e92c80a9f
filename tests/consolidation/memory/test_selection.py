from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from consolidation.memory.reservoir import Reservoir
from consolidation.memory.selection import select_class_balanced, select_reservoir


def test_every_item_is_kept_with_the_same_chance() -> None:
    """Chi-square over 4,000 reservoirs of 5 from a stream of 25: 24 degrees of freedom, 99.9 % below 51.2."""
    runs, stream, keep = 4000, 25, 5
    counts = np.zeros(stream)
    for seed in range(runs):
        counts[select_reservoir(stream, keep, seed)] += 1
    expected = runs * keep / stream
    # inclusions of one run exclude each other, which shrinks the variance by 1 - keep/stream
    chi_square = ((counts - expected) ** 2 / (expected * (1 - keep / stream))).sum() * (stream - 1) / stream
    assert chi_square < 51.2


def test_the_counter_is_exact_across_a_pause() -> None:
    whole, first = Reservoir(4, 1), Reservoir(4, 1)
    for item in range(100):
        whole.offer(item)
    for item in range(37):
        first.offer(item)
    second = Reservoir(4, 999)
    second.load_state_dict(first.state_dict())
    for item in range(37, 100):
        second.offer(item)
    assert second.seen == 100
    assert second.items == whole.items


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 70), st.integers(0, 5))
def test_class_balanced_keeps_the_right_number_as_evenly_as_possible(
    labels: list[int], keep: int, seed: int
) -> None:
    y = np.array(labels)
    rows = select_class_balanced(y, keep, seed)
    assert len(rows) == len(set(rows.tolist())) == min(keep, len(y))
    kept = {label: int((y[rows] == label).sum()) for label in set(labels)}
    for label, count in kept.items():
        if count < labels.count(label):  # not all of it is in: no other class may have two more
            assert max(kept.values()) <= count + 1
