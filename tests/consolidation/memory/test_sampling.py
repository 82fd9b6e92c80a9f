from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from consolidation.memory import order, sampling
from consolidation.memory.sampling import Sampler
from tests.consolidation.helpers import make_records

CPU = torch.device("cpu")


@pytest.mark.parametrize("mode", ["task-balanced", "uniform", "group-balanced", "loss-weighted"])
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


def test_a_resident_batch_is_the_gathered_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether all inputs fit in memory changes nothing but the speed."""
    sets = [make_records(i, n, 1, logits=i != 1) for i, n in enumerate((30, 7, 19))]
    for mode in sampling.MODES:
        monkeypatch.setattr(sampling, "RESIDENT_BYTES", 1 << 28)
        quick = Sampler(sets, 10, mode, seed=4)
        batches = [quick.next(4, CPU) for _ in range(12)]
        monkeypatch.setattr(sampling, "RESIDENT_BYTES", 0)
        slow = Sampler(sets, 10, mode, seed=4)
        for batch in batches:
            for a, b in zip(batch, slow.next(4, CPU), strict=True):
                assert a is b if a is None or b is None else torch.equal(a, b)


def test_group_balanced_gives_each_group_its_share_whatever_the_set() -> None:
    groups = ([0] * 50 + [1] * 5, [1] * 3 + [2] * 40)
    sets = [make_records(i, len(g), 1).with_rights(group=np.array(g)) for i, g in enumerate(groups)]
    sets.append(make_records(2, 9, 1))  # no group: one more of its own
    sampler = Sampler(sets, 10, "group-balanced", seed=0)
    counts: dict[int, int] = {}
    for _ in range(40):
        for index, rows in sampler.draw():
            for row in rows:
                group = groups[index][row] if index < 2 else -1
                counts[group] = counts.get(group, 0) + 1
    assert counts == {-1: 100, 0: 100, 1: 100, 2: 100}


def test_loss_weighted_draws_follow_the_losses_with_a_floor() -> None:
    sets = [make_records(0, 30, 1), make_records(1, 10, 1)]
    sampler = Sampler(sets, 8, "loss-weighted", seed=1)
    losses = np.concatenate([np.full(20, 1.0), np.full(10, 4.0), np.zeros(10)])
    counts = np.zeros(40)
    for step in range(2400):
        flat = sampler.flat()
        sampler.observe(torch.from_numpy(losses[flat]))
        if step >= 400:  # all have been seen
            np.add.at(counts, flat, 1)
    weights = np.maximum(losses, order.FLOOR * losses.mean())
    expected = 2000 * 8 * weights / weights.sum()
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_loss_weighted_goes_on_exactly_with_the_losses_it_had_seen() -> None:
    def cost(flat: np.ndarray[Any, Any], step: int) -> torch.Tensor:
        return torch.from_numpy(np.sin(flat * 1.7 + step) ** 2)

    sets = [make_records(i, n, 1) for i, n in enumerate((30, 7, 19))]
    whole = Sampler(sets, 10, "loss-weighted", seed=4)
    drawn, half = [], {}
    for step in range(60):
        if step == 23:  # not where the chances are refreshed
            half = json.loads(json.dumps(whole.state_dict()))
        drawn.append(whole.flat())
        whole.observe(cost(drawn[-1], step))
    rest = Sampler(sets, 10, "loss-weighted", seed=4)
    rest.load_state_dict(half)
    for step in range(23, 60):
        flat = rest.flat()
        rest.observe(cost(flat, step))
        assert np.array_equal(flat, drawn[step])


def test_a_state_of_other_sets_is_refused() -> None:
    two, three = ([make_records(i, 10, 1) for i in range(n)] for n in (2, 3))
    for mode in sampling.MODES:
        with pytest.raises(ValueError, match="another number"):
            Sampler(two, 4, mode).load_state_dict(Sampler(three, 4, mode).state_dict())


def test_task_balanced_passes_over_each_set_before_it_repeats() -> None:
    sets = [make_records(i, n, 1) for i, n in enumerate((21, 6, 15))]
    sampler = Sampler(sets, 10, seed=0)
    seen: list[list[int]] = [[], [], []]
    for _ in range(200):
        for index, rows in sampler.draw():
            seen[index] += rows.tolist()
    for index, n in enumerate((21, 6, 15)):
        for place in range(0, len(seen[index]) - n + 1, n):
            assert len(set(seen[index][place : place + n])) == n
