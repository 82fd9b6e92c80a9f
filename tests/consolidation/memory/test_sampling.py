from __future__ import annotations

import numpy as np
import pytest
import torch

from consolidation.memory.sampling import Sampler
from tests.consolidation.helpers import make_records

CPU = torch.device("cpu")


@pytest.mark.parametrize("mode", ["task-balanced", "uniform"])
def test_a_sampler_goes_on_exactly_where_its_state_says(mode: str) -> None:
    sets = [make_records(i, n, 1) for i, n in enumerate((30, 7, 19))]
    whole = Sampler(sets, 10, mode, seed=4)
    drawn = [whole.draw() for _ in range(20)]
    half = Sampler(sets, 10, mode, seed=4)
    for _ in range(9):
        half.draw()
    rest = Sampler(sets, 10, mode, seed=4)
    rest.load_state_dict(half.state_dict())
    for expected in drawn[9:]:
        for (a, rows), (b, same) in zip(expected, rest.draw(), strict=True):
            assert a == b
            assert np.array_equal(rows, same)


def test_task_balanced_gives_each_set_its_share() -> None:
    sets = [make_records(i, n, 1) for i, n in enumerate((200, 20, 50))]
    sampler = Sampler(sets, 10, seed=0)
    counts = np.zeros(3)
    for _ in range(30):
        for index, rows in sampler.draw():
            counts[index] += len(rows)
    assert counts.tolist() == [100, 100, 100]


def test_uniform_sees_every_record_once_a_pass() -> None:
    sets = [make_records(i, n, 1) for i, n in enumerate((25, 5, 10))]
    sampler = Sampler(sets, 8, "uniform", seed=0)
    seen = [(index, int(row)) for _ in range(5) for index, rows in sampler.draw() for row in rows]
    assert len(set(seen)) == 40


def test_a_batch_tells_which_memories_have_logits() -> None:
    sets = [make_records(0, 20, 1, logits=True), make_records(1, 20, 1)]
    batch = Sampler(sets, 6, seed=0).next(4, CPU)
    assert batch.stored.tolist() == [True] * 3 + [False] * 3
    assert batch.x.shape == (6, 8)
    assert batch.z[3:].abs().sum() == 0
    assert batch.z[:3].abs().sum() > 0
