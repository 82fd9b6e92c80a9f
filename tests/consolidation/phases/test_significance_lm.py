"""The Fisher of language models and of readers of answers, against the loop over single records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from consolidation.fit import io_widths
from consolidation.memory.sampling import gather
from consolidation.memory.store import Records
from consolidation.objectives import objective_of
from consolidation.phases import squares
from consolidation.phases.per_sample import choose_ways, recorded_layers, squares_by_rules
from consolidation.phases.significance import estimate_fisher
from tests.consolidation.helpers import hooks
from tests.consolidation.lm_helpers import KINDS, tiny_lm, token_records
from tests.consolidation.text_helpers import text_records, tiny_bert

if TYPE_CHECKING:
    from collections.abc import Iterable

CPU = torch.device("cpu")


def texts(seed: int, width: int) -> Records:
    x = token_records(4, width, seed).numpy().astype("u2")
    return Records(task=f"texts {seed}", x=x, y=[0, 0, 2, 1], classes=65536, objective="language")


def loop(model: nn.Module, sets: Iterable[Records]) -> dict[str, Tensor]:
    """Every record alone, and not filled up."""
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    objective, count = objective_of(model), 0
    for records in sets:
        for row in range(len(records)):
            ids = torch.from_numpy(records.inputs([row]))
            ids = ids[:, : int((ids > 0).sum())]
            loss = objective.nll(
                model(ids), objective.targets(ids, torch.as_tensor(records.y[row : row + 1]))
            )
            learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
            for name, gradient in zip(
                learning, torch.autograd.grad(loss.sum(), list(learning.values())), strict=True
            ):
                total[name] += gradient.square()
            count += 1
    return {name: tensor / count for name, tensor in total.items()}


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    largest = max(float(tensor.max()) for tensor in expected.values())
    for name, tensor in expected.items():
        if float(tensor.max()) < 1e-9 * largest:  # a softmax does not see a key's offset
            assert float(found[name].max()) < 1e-9 * largest, name
            continue
        assert float((found[name] - tensor).norm()) <= 1e-5 * float(tensor.norm()), name


@pytest.mark.parametrize("kind", KINDS)
def test_it_equals_the_loop_over_single_texts(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(squares, "PIECE", 100)  # several pieces of the words
    model, sets = tiny_lm(KINDS[kind]), [texts(1, 7), texts(2, 11)]
    found = estimate_fisher(
        model, sets, samples=8, labels="true", generator=torch.Generator().manual_seed(0), device=CPU
    )
    assert_equal(found.tensors, loop(model, sets))
    few = gather(sets, [(1, [0, 1])], io_widths(model)[1], CPU)
    assert [
        name for name in choose_ways(model, few, objective_of(model)).plain if "k_proj.bias" not in name
    ] == []
    assert hooks(model) == 0


def test_it_equals_the_loop_over_single_questions() -> None:
    model = tiny_bert(head="question-answering", pooler=False, num_labels=2)
    x = text_records(0, 5, 1).x.astype("u2")
    x[:, 2:][x[:, 2:] > 0] += 40
    records = Records(task="asked", x=x, y=[2 * 65536 + 3] * 5, classes=2**32, objective="extractive-qa")
    found = estimate_fisher(
        model, records, samples=5, labels="true", generator=torch.Generator().manual_seed(0), device=CPU
    )
    assert_equal(found.tensors, loop(model, [records]))


class Tied(nn.Module):
    """One matrix as embedding, with a row that never learns, and as a layer with an offset."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(9, 5, padding_idx=2)
        self.middle = nn.Linear(5, 5)
        self.head = nn.Linear(5, 9)
        self.head.weight = self.words.weight

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.tanh(self.middle(self.words(x))))
        return logits


@pytest.mark.parametrize("weighted", [False, True])
def test_a_tied_matrix_with_an_offset_and_a_padding_row(weighted: bool) -> None:
    torch.manual_seed(3)
    model, x = Tied(), torch.randint(0, 9, (4, 6))
    x[0, :3] = 2
    y = torch.randint(0, 9, (4, 6))
    weights = torch.tensor([0.5, 1.0, 2.0, 0.1])

    def losses() -> Tensor:
        return (
            functional.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="none")
            .reshape(4, 6)
            .sum(1)
        )

    with recorded_layers([model.words, model.middle, model.head]) as seen:
        loss = losses().sum()
    names = {id(p): name for name, p in model.named_parameters()}
    rules = squares_by_rules(seen, loss, weights if weighted else None, 4)
    found = {names[id(parameter)]: tensor for parameter, tensor in rules}
    expected = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for row, each in enumerate(losses()):
        gradients = torch.autograd.grad(each, list(model.parameters()), retain_graph=True)
        for name, gradient in zip(expected, gradients, strict=True):
            expected[name] += (weights[row] if weighted else 1.0) * gradient.square()
    assert found.keys() == expected.keys()
    assert_equal(found, expected)
