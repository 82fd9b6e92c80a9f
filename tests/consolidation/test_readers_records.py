"""Records of readers and language models that would break a night, or prove what is not so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from consolidation.errors import NocturneInputError
from consolidation.fit import check_fit
from consolidation.memory.files import write_tensors
from consolidation.memory.remembering import answers, remember
from consolidation.memory.sampling import Sampler
from consolidation.memory.store import Records
from consolidation.objectives import objective_of
from consolidation.objectives.objective import OUTSIDE, Stored
from consolidation.recipe import WakeRecipe
from tests.consolidation.lm_helpers import LLAMA, chain_records, tiny_lm
from tests.consolidation.text_helpers import tiny_bert

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

CPU = torch.device("cpu")
WIDTH = 12


def reader(**changes: Any) -> nn.Module:
    return tiny_bert(head="question-answering", num_labels=2, pooler=False, type_vocab_size=2, **changes)


def questions(lengths: list[int], y: list[tuple[int, int]], second: int = 3, width: int = WIDTH) -> Records:
    """Three tokens of a question, then a text; the rest filled up."""
    x = np.zeros((len(lengths), width), np.uint8)
    for row, length in zip(x, lengths, strict=True):
        row[:length] = np.arange(2, 2 + length)
        row[second:length] += 40
    labels = np.array([start * 65536 + end for start, end in y], np.int64)
    return Records(task="qa", x=x, y=labels, classes=2**32, objective="extractive-qa")


@pytest.mark.parametrize("span", [(7, 8), (2, 4), (5, 4), (0, 0)], ids=["past", "question", "turned", "cls"])
def test_an_answer_must_lie_in_the_text_of_its_own_record(span: tuple[int, int]) -> None:
    check_fit(reader(), [questions([8, 10], [(3, 7), (4, 9)])], "memories")
    with pytest.raises(NocturneInputError) as caught:
        check_fit(reader(), [questions([10, 8], [(4, 9), span])], "memories")
    assert caught.value.code == "records.label_range"
    assert "Record 1 " in caught.value.message


def test_a_single_text_may_hold_its_answer_anywhere() -> None:
    check_fit(reader(), [questions([8], [(0, 7)], second=WIDTH)], "memories")


@pytest.mark.parametrize(("tokens", "prompt"), [(1, 0), (5, 5)])
def test_a_text_in_which_nothing_is_asked_is_refused_and_not_scored_as_perfect(
    tokens: int, prompt: int
) -> None:
    x = np.zeros((2, 8), np.uint16)
    x[0], x[1, :tokens] = 3, 3
    records = Records(task="t", x=x, y=np.array([0, prompt]), classes=2**16, objective="language")
    with pytest.raises(NocturneInputError) as caught:
        check_fit(tiny_lm(LLAMA), [records], "probe records")
    assert caught.value.code == "records.label_range"


def test_stored_answers_must_be_of_the_objective() -> None:
    words = chain_records(0, 4, 1)
    z = np.zeros((4, words.width, 3), np.float16)
    whole: dict[str, Any] = {
        "task": "t",
        "x": words.x,
        "y": words.y,
        "classes": words.classes,
        "objective": "language",
    }
    Records(**whole, z=z, top=z.astype(np.int32))
    wrong: list[dict[str, Any]] = [
        whole | {"z": z[:, 1:], "top": z[:, 1:].astype(np.int32)},
        whole | {"z": z[..., :0], "top": z[..., :0].astype(np.int32)},
        whole | {"z": np.zeros((4, 2**16), np.float16)},
        whole | {"top": z.astype(np.int32)},
        {**whole, "objective": "classification", "z": z, "top": z.astype(np.int32)},
    ]
    for each in wrong:
        with pytest.raises(NocturneInputError) as caught:
            Records(**each)
        assert caught.value.code == "records.shape"


def test_a_file_whose_objective_is_no_word_is_refused(tmp_path: Path) -> None:
    words = chain_records(0, 4, 1)
    meta = {"version": 1, "task": "t", "classes": 2, "objective": ["language"]}
    path = tmp_path / "x.records"
    write_tensors(path, {"x": words.x, "y": words.y, "id": words.ids}, meta)
    with pytest.raises(NocturneInputError) as caught:
        Records.open(path)
    assert caught.value.code == "records.format"


def test_what_was_stored_beside_longer_texts_is_no_farther_from_the_same_model() -> None:
    model = reader()
    kept = questions([6, WIDTH], [(0, 5), (3, 4)], second=WIDTH)
    told = answers(model, kept, np.arange(1), CPU, hidden=False)
    assert told.top is not None
    assert told.top.shape == (1, 2, WIDTH)
    batch = Sampler([told.beside(kept.take(np.arange(1)))], 1).next(2, CPU)
    objective = objective_of(model)
    with torch.no_grad():
        out = model(batch.x)
    targets = objective.targets(batch.x, batch.y)
    apart = objective.distance(out, targets, Stored(batch.z, batch.top), "kl", 2.0)
    assert float(apart) < 1e-3


@pytest.mark.parametrize("kind", ["language", "extractive-qa"])
def test_a_byte_budget_holds_where_the_first_record_is_the_shortest(kind: str) -> None:
    if kind == "language":
        model, data = tiny_lm(LLAMA), chain_records(0, 40, 1)
    else:
        model, data = reader(), questions([5] + [WIDTH] * 39, [(3, 4)] * 40)
    budget = 12_000 if kind == "language" else 2000
    kept = remember(model, data, WakeRecipe(memories=40, memory_bytes=budget), CPU)
    assert kept is not None
    assert 1 < len(kept) < 40
    assert kept.bytes["total"] <= budget


def test_a_dream_asks_for_no_answer_that_the_other_text_has_no_room_for() -> None:
    model = reader()
    data = questions([6, WIDTH], [(3, 5), (9, 11)])
    told = answers(model, data, np.arange(2), CPU, hidden=False).beside(data)
    batch = Sampler([told], 2, "uniform").next(2, CPU)
    objective = objective_of(model)
    with torch.no_grad():
        out = model(batch.x)
    swapped = batch.take(torch.tensor([1, 0]))
    targets = objective.targets(swapped.x, swapped.y)
    assert float(objective.loss(out, targets).max()) > -OUTSIDE / 2
    reached = objective.reachable(out, targets)
    assert sorted((reached < 0).sum(1).tolist()) == [0, 2]
    assert float(objective.loss(out, reached).max()) < 100
    apart = objective.distance(out, reached, Stored(swapped.z, swapped.top), "kl", 2.0)
    assert 0 <= float(apart.max()) < 100
