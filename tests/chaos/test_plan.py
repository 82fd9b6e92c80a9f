"""What a soak does comes from its seed and names fault points that exist."""

from __future__ import annotations

import pytest

from tests.chaos.plan import (
    CHORES_POINTS,
    FAULTS,
    KILLS,
    TRAINER_POINTS,
    WORKER_POINTS,
    Points,
    faults,
    strikes_trainer,
)
from webapp.core.faults import parse


def test_the_same_seed_is_the_same_storm() -> None:
    first, again, other = (list(faults(seed, seconds=600, slots=4, a_minute=30)) for seed in (1, 1, 2))
    assert first == again != other
    assert 240 < len(first) < 360
    assert {fault.kind for fault in first} == set(FAULTS)
    assert {fault.slot for fault in first} == {0, 1, 2, 3}
    assert {*FAULTS, "point"} >= KILLS


def test_what_is_allowed_now_moves_nothing_later() -> None:
    strict, free = Points(1), Points(1)
    drawn = [(strict.draw(trainers=False), free.draw(trainers=True)) for _ in range(400)]
    assert not any(strikes_trainer(points) for points, _ in drawn)
    assert any(strikes_trainer(points) for _, points in drawn)
    assert [bool(points) for points, _ in drawn] == [bool(points) for _, points in drawn]
    assert 100 < sum(bool(points) for points, _ in drawn) < 220


@pytest.mark.parametrize("point", [*WORKER_POINTS, *TRAINER_POINTS, *CHORES_POINTS])
def test_every_fault_point_is_known(point: str) -> None:
    (rule,) = parse(f"{point}@3")
    assert rule.nth == 3
