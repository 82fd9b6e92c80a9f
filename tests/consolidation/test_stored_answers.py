"""Memories that came without a model's answers get those of a checkpoint, and a size told before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch

from consolidation.errors import Stopped
from consolidation.memory.remembering import answers
from consolidation.scoring import score
from consolidation.stored_size import answer_bytes
from consolidation.weights import new_model
from tests.consolidation.helpers import make_records
from tests.consolidation.lm_helpers import LLAMA, chain_records, tiny_lm

if TYPE_CHECKING:
    from torch import nn

    from consolidation.memory.store import Records


def mlp() -> nn.Module:
    return new_model("mlp", {"layers": [8, 6, 4], "activation": "relu", "names": ["a", "b"]}, 1)


@pytest.mark.parametrize("kind", ["mlp", "language"])
def test_they_are_the_answers_of_that_model_and_as_large_as_foretold(kind: str) -> None:
    model, records = (
        (mlp(), make_records(0, 20, 1)) if kind == "mlp" else (tiny_lm(LLAMA), chain_records(0, 20, 1))
    )
    before = records.bytes["total"]
    report = score(model, [], memories=records)
    kept = report.memories
    assert kept is not None
    assert np.array_equal(kept.ids, records.ids)
    told = answers(model, records, np.arange(20), torch.device("cpu"), hidden=False)
    assert kept.z is not None
    assert np.array_equal(kept.z, told.z)
    config = cast("dict[str, Any]", model.nocturne_config)
    foretold = 20 * answer_bytes(cast("str", model.nocturne_family), config, records.width)
    # of 23 words all are kept, where 32 are of most models
    share = 23 / 32 if kind == "language" else 1.0
    assert kept.bytes["total"] - before == round(share * foretold)


def test_a_stop_is_heard_between_two_chunks() -> None:
    calls = iter(["", "", "pause"])
    with pytest.raises(Stopped):
        score(mlp(), [], memories=make_records(0, 1500, 1), stop=lambda: next(calls, "pause") or None)


def test_records_that_are_gone_get_none() -> None:
    records: Records = make_records(0, 6, 1)
    report = score(mlp(), [], memories=records.tombstoned(records.ids[:2]))
    assert report.memories is not None
    assert len(report.memories) == 4
