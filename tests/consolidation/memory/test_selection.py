from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consolidation.errors import NocturneInputError
from consolidation.memory.reservoir import Reservoir
from consolidation.memory.selection import Ring, herd, select, select_class_balanced, select_reservoir


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


def test_offering_many_at_once_follows_the_same_law() -> None:
    """Chi-square as above, offered in uneven pieces and one by one in between."""
    runs, stream, keep = 4000, 25, 5
    counts = np.zeros(stream)
    for seed in range(runs):
        reservoir = Reservoir(keep, (seed, 1))
        reservoir.offer_many(range(3))
        reservoir.offer_many(np.arange(3, 12))
        reservoir.offer(12)
        reservoir.offer_many(np.arange(13, stream))
        assert reservoir.seen == stream
        counts[reservoir.items] += 1
    expected = runs * keep / stream
    chi_square = ((counts - expected) ** 2 / (expected * (1 - keep / stream))).sum() * (stream - 1) / stream
    assert chi_square < 51.2


def test_pairs_are_held_together_as_often_as_they_should() -> None:
    """A uniform sample holds each pair with chance k (k - 1) / n (n - 1), not only each item."""
    runs, stream, keep = 6000, 8, 3
    pairs = np.zeros((stream, stream))
    for seed in range(runs):
        reservoir = Reservoir(keep, (seed, 2))
        reservoir.offer_many(np.arange(stream))
        pairs[np.ix_(reservoir.items, reservoir.items)] += 1
    chance = keep * (keep - 1) / (stream * (stream - 1))
    off = pairs[~np.eye(stream, dtype=bool)] / runs
    assert np.abs(off - chance).max() < 4.5 * np.sqrt(chance * (1 - chance) / runs)


def test_a_long_stream_in_pieces_goes_on_exactly_after_a_pause() -> None:
    pieces = np.array_split(np.arange(20_000), 7)
    whole, first = Reservoir(100, 5), Reservoir(100, 5)
    for piece in pieces:
        whole.offer_many(piece)
    for piece in pieces[:3]:
        first.offer_many(piece)
    second = Reservoir(100, 0)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for piece in pieces[3:]:
        second.offer_many(piece)
    assert (second.seen, second.items) == (20_000, whole.items)


def test_a_ring_holds_the_newest_of_each_task() -> None:
    ring = Ring(7, 3)
    ring.offer(0, range(10))
    ring.offer(2, [5])
    ring.offer(0, [99])
    assert [ring.items(task) for task in range(3)] == [[8, 9, 99], [], [5]]
    again = Ring(7, 3)
    again.load_state_dict(json.loads(json.dumps(ring.state_dict())))
    again.offer(0, [100])
    assert again.items(0) == [9, 99, 100]
    with pytest.raises(NocturneInputError, match="no place"):
        Ring(2, 3)


def test_herding_is_the_greedy_mean() -> None:
    """Against the definition, by brute force."""
    phi = np.random.default_rng(3).normal(size=(30, 6)) + 1
    phi /= np.linalg.norm(phi, axis=1, keepdims=True)
    chosen: list[int] = []
    for k in range(1, 9):
        gaps = {
            row: np.linalg.norm(phi.mean(0) - (phi[chosen].sum(0) + phi[row]) / k)
            for row in range(30)
            if row not in chosen
        }
        chosen.append(min(gaps, key=lambda row: gaps[row]))
    assert herd(phi * 7, 8).tolist() == chosen


def test_herding_is_nearer_to_the_mean_than_chance_and_balances_classes() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    features = rng.normal(size=(300, 5)) + y[:, None]
    rows = select("herding", y, 30, 0, features=features)
    assert np.bincount(y[rows]).tolist() == [10, 10, 10]
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)

    def gap(chosen: np.ndarray[Any, Any]) -> float:
        return max(
            float(np.linalg.norm(unit[y == c].mean(0) - unit[chosen][y[chosen] == c].mean(0)))
            for c in range(3)
        )

    assert gap(rows) < min(gap(select("class-balanced", y, 30, seed)) for seed in range(20)) / 2


def test_max_loss_and_ring_keep_what_they_say() -> None:
    y = np.zeros(5, np.int64)
    losses = np.array([0.1, 3.0, 0.2, 3.0, 1.0])
    assert select("max-loss", y, 3, 0, losses=losses).tolist() == [1, 3, 4]
    assert select("ring", y, 2, 0).tolist() == [3, 4]


def test_a_rule_without_what_it_chooses_by_is_refused() -> None:
    y = np.zeros(5, np.int64)
    for how, words in (("herding", "features"), ("max-loss", "losses"), ("best", "known:")):
        with pytest.raises(NocturneInputError, match=words) as caught:
            select(how, y, 2, 0)
        assert caught.value.code == "memories.selection"
