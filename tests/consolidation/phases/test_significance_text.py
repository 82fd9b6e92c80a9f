"""The Fisher of a text model: squares of per-text gradients, tokens summed before they are squared."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from consolidation.memory.sampling import Batch
from consolidation.objectives.classification import Classification
from consolidation.phases.per_sample import choose_ways
from consolidation.phases.significance import estimate_fisher
from tests.consolidation.helpers import hooks
from tests.consolidation.text_helpers import CLASSES, text_records, tiny_bert

CPU = torch.device("cpu")


@pytest.mark.parametrize("labels", ["true", "exact"])
def test_it_equals_the_loop_over_single_texts(labels: str) -> None:
    """Two sets of different lengths; every text alone and not filled up in the loop."""
    model = tiny_bert()
    sets = [text_records(0, 9, 1, width=8), text_records(1, 7, 1, width=15)]
    found = estimate_fisher(
        model, sets, samples=16, labels=labels, generator=torch.Generator().manual_seed(0), device=CPU
    )
    expected = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for records in sets:
        for ids, y in zip(np.asarray(records.x), records.y, strict=True):
            logits = model(torch.from_numpy(ids[ids > 0].astype(np.float32))[None])
            p = functional.softmax(logits.detach(), 1)[0]
            for label in range(CLASSES) if labels == "exact" else [int(y)]:
                weight = float(p[label]) if labels == "exact" else 1.0
                loss = functional.cross_entropy(logits, torch.tensor([label]))
                gradients = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
                for name, gradient in zip(expected, gradients, strict=True):
                    expected[name] += weight * gradient.square() / 16
    assert found.samples == 16
    largest = max(float(squares.max()) for squares in expected.values())
    for name, tensor in found.tensors.items():
        top = float(expected[name].max())
        if name.endswith("key.bias"):  # a softmax does not see it: zero, but for rounding
            assert float(tensor.max()) < 1e-11 * largest
            continue
        assert top > 1e-6 * largest, name
        assert torch.allclose(tensor, expected[name], rtol=1e-5, atol=1e-5 * top), name
    assert hooks(model) == 0


def test_no_parameter_of_a_bert_needs_the_plain_way() -> None:
    model = tiny_bert()
    records = text_records(0, 2, 1)
    ways = choose_ways(
        model,
        Batch.of(torch.from_numpy(records.inputs()), torch.from_numpy(records.y)),
        Classification(),
    )
    assert ways.plain == []
