"""Spread, paired differences and their t interval."""

from __future__ import annotations

import pytest

from consolidation.benchmarks.statistics import paired_difference, spread, t95


def test_mean_and_sample_deviation() -> None:
    found = spread([1.0, 2.0, 6.0])
    assert found is not None and found.mean == 3.0
    assert found.sd == pytest.approx(7**0.5)
    assert spread([]) is None


def test_the_interval_is_students_over_the_seeds_both_have() -> None:
    mine, other = {0: 11.0, 1: 13.0, 2: 15.0, 9: 99.0}, {0: 10.0, 1: 11.0, 2: 12.0, 8: 0.0}
    found = paired_difference(mine, other)
    assert found is not None and found.pairs == 3 and found.mean == 2.0
    half = 4.303 * 1.0 / 3**0.5
    assert found.low == pytest.approx(2 - half) and found.high == pytest.approx(2 + half)
    assert not found.better and not found.worse


def test_one_seed_has_no_interval_and_decides_nothing() -> None:
    found = paired_difference({0: 5.0}, {0: 1.0})
    assert found is not None and found.low is None and not found.better
    assert paired_difference({0: 5.0}, {1: 1.0}) is None


def test_quantiles_go_on_where_the_table_ends() -> None:
    assert t95(30) == 2.042
    assert t95(31) == pytest.approx(2.0395, abs=0.0005)
    assert t95(10_000) == pytest.approx(1.960, abs=0.001)
