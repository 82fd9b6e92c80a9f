"""What a day leaves behind: the rule's records, packed, within the bytes, with the model's own logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from consolidation.memory.remembering import remember
from consolidation.memory.selection import RULES
from consolidation.weights import new_model
from tests.consolidation.helpers import CONFIG, batch_of, make_records, wake_recipe

CPU = torch.device("cpu")
MODEL = new_model("mlp", CONFIG, 1)
DATA = make_records(0, 300, 1)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("codec", ["raw", "q2"])
def test_kept_records_carry_the_logits_of_the_model(rule: str, codec: str) -> None:
    kept = remember(MODEL, DATA, wake_recipe(memories=30, selection=rule, codec=codec), CPU)
    assert kept is not None
    assert len(kept) == 30
    place = {row.tobytes(): index for index, row in enumerate(DATA.ids)}
    rows = np.array([place[row.tobytes()] for row in kept.ids])
    assert len(set(rows.tolist())) == 30
    x, y = batch_of(DATA)
    with torch.no_grad():
        logits = MODEL(x)[rows]
    assert kept.z is not None
    assert np.allclose(kept.z, logits.numpy(), rtol=2e-3, atol=2e-3)
    assert np.array_equal(kept.y, y.numpy()[rows])
    assert (kept.packed is None) == (codec == "raw")


def test_max_loss_keeps_what_the_model_knows_least() -> None:
    kept = remember(MODEL, DATA, wake_recipe(memories=20, selection="max-loss"), CPU)
    assert kept is not None
    x, y = batch_of(DATA)
    with torch.no_grad():
        losses = torch.nn.functional.cross_entropy(MODEL(x), y, reduction="none")
        mine = torch.nn.functional.cross_entropy(
            MODEL(batch_of(kept)[0]), batch_of(kept)[1], reduction="none"
        )
    assert float(mine.min()) >= float(losses.sort(descending=True).values[20])


@pytest.mark.parametrize("rule", ["class-balanced", "herding"])
def test_a_byte_budget_holds(rule: str) -> None:
    recipe = wake_recipe(memories=10_000, selection=rule, codec="columns", memory_bytes=2_000)
    kept = remember(MODEL, DATA, recipe, CPU)
    assert kept is not None
    assert kept.z is not None
    assert 1_600 < kept.bytes["total"] <= 2_000
    assert np.abs(kept.z).sum() > 0


def test_the_model_stays_in_its_mode() -> None:
    MODEL.train()
    remember(MODEL, DATA, wake_recipe(memories=5, selection="herding"), CPU)
    assert MODEL.training
    MODEL.eval()


def test_nothing_is_kept_when_nothing_is_asked_for() -> None:
    assert remember(MODEL, DATA, wake_recipe(memories=0), CPU) is None
