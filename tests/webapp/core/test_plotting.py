from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from webapp.core.plotting import Scale, path, ticks

finite = st.floats(-1e9, 1e9, allow_nan=False)


@given(finite, finite, st.integers(1, 12))
def test_ticks_rise_evenly_and_stay_inside(a: float, b: float, count: int) -> None:
    low, high = min(a, b), max(a, b)
    found = ticks(low, high, count)
    if high - low < 1e-6 * max(1.0, abs(low), abs(high)):
        return
    assert found == sorted(set(found))
    assert len(found) <= count + 1
    slack = 1e-6 * (high - low)
    assert all(low - slack <= tick <= high + slack for tick in found)


def test_ticks_are_round() -> None:
    assert ticks(0, 1, 5) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(3, 97, 4) == [25, 50, 75]
    assert ticks(2, 2) == [2]
    assert ticks(0, 5e-324, 1) == [0]


def test_a_scale_turns_values_into_coordinates() -> None:
    scale = Scale(0, 1, 100, 20)
    assert (scale(0), scale(0.5), scale(1)) == (100, 60, 20)
    assert Scale(5, 5, 0, 10)(5) == 5


def test_a_path_breaks_at_gaps_and_keeps_a_lone_point() -> None:
    assert path([(0, 1), (1, 2), (2, None), (3, 4)]) == "M0 1L1 2 M3 4h0"
    assert path([(0, None)]) == ""
