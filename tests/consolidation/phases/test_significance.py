"""The per-sample Fisher against the loop that its definition is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from consolidation.phases.significance import estimate_fisher
from consolidation.weights import Fisher, load_fisher, new_model, save_fisher
from tests.consolidation.helpers import CONFIG, batch_of, hooks, make_records

CPU = torch.device("cpu")
SETS = [make_records(0, 30, 1), make_records(1, 17, 1)]


def squares(model: nn.Module, x: Tensor, label: int) -> dict[str, Tensor]:
    model.zero_grad()
    functional.cross_entropy(model(x[None]), torch.tensor([label])).backward()  # type: ignore[no-untyped-call]
    return {name: p.grad.square().clone() for name, p in model.named_parameters() if p.grad is not None}


def brute_force(model: nn.Module, mode: str) -> dict[str, Tensor]:
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    count = 0
    for records in SETS:
        for x, y in zip(*batch_of(records), strict=True):
            count += 1
            with torch.no_grad():
                p = functional.softmax(model(x[None]), 1)[0]
            for label in [int(y)] if mode == "true" else range(4):
                weight = 1.0 if mode == "true" else float(p[label])
                for name, square in squares(model, x, label).items():
                    total[name] += weight * square
    return {name: tensor / count for name, tensor in total.items()}


def fisher(model: nn.Module, mode: str, samples: int = 1000, seed: int = 0) -> Fisher:
    generator = torch.Generator().manual_seed(seed)
    return estimate_fisher(model, SETS, samples=samples, labels=mode, generator=generator, device=CPU)


@pytest.mark.parametrize("mode", ["true", "exact"])
def test_it_equals_brute_force(mode: str) -> None:
    model = new_model("mlp", CONFIG, 5)
    found, expected = fisher(model, mode), brute_force(model, mode)
    assert (found.samples, found.labels) == (47, mode)
    for name, tensor in expected.items():
        assert torch.allclose(found.tensors[name], tensor, rtol=1e-5, atol=1e-12), name
    assert hooks(model) == 0


def test_sampled_labels_approach_the_exact_fisher() -> None:
    model = new_model("mlp", CONFIG, 5)
    mean: dict[str, Tensor] = {}
    for seed in range(200):
        for name, tensor in fisher(model, "sampled", seed=seed).tensors.items():
            mean[name] = mean.get(name, torch.zeros_like(tensor)) + tensor / 200
    exact = fisher(model, "exact").tensors
    for name, tensor in exact.items():
        assert float((mean[name] - tensor).norm() / tensor.norm()) < 0.05


def test_the_square_of_a_batch_mean_would_be_far_too_small() -> None:
    model = new_model("mlp", CONFIG, 5)
    x, y = batch_of(SETS[0])
    model.zero_grad()
    functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
    wrong = sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None)
    right = sum(float(tensor.sum()) for tensor in fisher(model, "true").tensors.values())
    assert wrong < 0.5 * right


def test_samples_are_spread_over_the_sets_and_counted() -> None:
    model = new_model("mlp", CONFIG, 5)
    assert fisher(model, "true", samples=20).samples == 20
    assert fisher(model, "true", samples=40).samples == 40  # 17 of the small set, 23 of the other


def test_half_precision_on_disk_keeps_small_values(tmp_path: object) -> None:
    tensors = {"w": torch.tensor([1e-9, 3e-8, 2e-7]), "b": torch.zeros(2)}
    path = f"{tmp_path}/f.safetensors"
    save_fisher(Fisher(tensors, 9, "exact"), path)
    back = load_fisher(path)
    assert (back.samples, back.labels) == (9, "exact")
    assert torch.allclose(back.tensors["w"], tensors["w"], rtol=1e-3)
    assert torch.equal(back.tensors["b"], tensors["b"])
