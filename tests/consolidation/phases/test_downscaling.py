from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from consolidation.cycle import sleep
from consolidation.families.adapter import adapter_of
from consolidation.phases.downscaling import prune, prune_count, strengthen
from consolidation.phases.selecting import select_lowest
from tests.consolidation.helpers import Recorder, bits, make_world


def tensors(seed: int, *shapes: tuple[int, int]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {f"w{i}": torch.randn(shape, generator=generator) for i, shape in enumerate(shapes)}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000), k=st.integers(0, 130), kind=st.sampled_from(["log", "same", "zeros", "ties"])
)
def test_exactly_k_and_the_lowest(seed: int, k: int, kind: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.exp(8 * torch.randn(120, generator=generator))
    if kind == "same":
        values = torch.full((120,), 0.3)
    elif kind == "zeros":
        values[torch.rand(120, generator=generator) < 0.6] = 0
    elif kind == "ties":
        values = torch.randint(0, 5, (120,), generator=generator).float()
    allowed = torch.rand(120, generator=generator) < 0.9
    parts = {"a": slice(0, 50), "b": slice(50, 120)}
    chosen = select_lowest(
        {name: partial(values.__getitem__, part) for name, part in parts.items()},
        {name: partial(allowed.__getitem__, part) for name, part in parts.items()},
        k,
    )
    mask = torch.cat([chosen["a"], chosen["b"]])
    assert int(mask.sum()) == min(k, int(allowed.sum()))
    assert not bool((mask & ~allowed).any())
    if mask.any() and (allowed & ~mask).any():
        assert float(values[mask].max()) <= float(values[allowed & ~mask].min())


def test_prune_zeroes_exactly_k_by_optimal_brain_damage() -> None:
    weights, fisher = (
        tensors(0, (20, 30), (10, 20)),
        {n: t.abs() for n, t in tensors(1, (20, 30), (10, 20)).items()},
    )
    saliency = torch.cat([(fisher[n] * weights[n] ** 2).flatten() for n in weights])
    expected = saliency.argsort()[:77].sort().values
    detail = prune(weights, fisher, "obd", 77)
    zero = torch.nonzero(torch.cat([w.flatten() for w in weights.values()]) == 0).squeeze(1)
    assert torch.equal(zero, expected)
    assert detail == {"pruned": 77, "sparsity": 77 / 800}


def test_already_zero_weights_do_not_count_and_the_cap_holds() -> None:
    weights, fisher = tensors(0, (10, 10)), tensors(1, (10, 10))
    fisher = {name: tensor.abs() for name, tensor in fisher.items()}
    for expected in (30, 60, 70, 70):
        prune(weights, fisher, "obd", prune_count(weights, 0.3, 0.7))
        assert int((weights["w0"] == 0).sum()) == expected


def test_strengthening_keeps_every_rows_norm() -> None:
    weights = tensors(0, (12, 9))
    before = weights["w0"].clone()
    fisher = {"w0": torch.rand(12, 9, generator=torch.Generator().manual_seed(2))}
    strengthen(weights, fisher, "obd", 0.25, 0.05)
    after = weights["w0"]
    assert torch.allclose(after.norm(dim=1), before.norm(dim=1), rtol=1e-5)
    saliency = (fisher["w0"] * before**2).flatten()
    top = saliency.argsort(descending=True)[:27]
    growth = (after / before).flatten()
    for place in top.tolist():
        row = growth.view(12, 9)[place // 9]
        assert growth[place] == pytest.approx(float(row.max()), rel=1e-5)


def test_a_refused_proposal_restores_the_bits() -> None:
    """A night that does nothing but prune far too much ends with the very bits it began with."""
    world = make_world(passes=15.0, dream=0.0)
    sleep(world.model, world.memories, world.probes, world.recipe)
    before, heard = bits(world.model), Recorder()
    greedy = make_world(passes=0.0, dream=0.0, prune=0.9, prune_cap=1.0, strengthen_top=0.0).recipe
    sleep(world.model, world.memories, world.probes, greedy, on_event=heard)
    [gate] = heard.of("decision")
    assert (gate["name"], gate["kept"]) == ("prune", False)
    assert gate["reason"].startswith("Reverted: ")
    assert gate["detail"]["pruned"] == round(0.9 * (8 * 16 + 16 * 12))
    assert bits(world.model) == before


def test_only_prunable_tensors_are_touched() -> None:
    world = make_world(passes=0.0, dream=0.0, prune=0.5, tolerance=1.0, task_tolerance=1.0, eta=0.05)
    before = bits(world.model)
    sleep(world.model, world.memories, world.probes, world.recipe)
    changed = {name for name, data in bits(world.model).items() if data != before[name]}
    assert changed == set(adapter_of(world.model).prunable(world.model)) == {"a.0.weight", "a.1.weight"}


def test_mask_mode_keeps_zeros_zero_through_later_rounds_and_nights() -> None:
    recipe = {
        "prune_mode": "mask",
        "prune": 0.2,
        "rounds": 2,
        "tolerance": 1.0,
        "task_tolerance": 1.0,
        "dream": 0.1,
    }
    world = make_world(**recipe)
    masks: list[Tensor] = []
    for _ in range(2):
        heard = Recorder()
        sleep(world.model, world.memories, world.probes, world.recipe, on_event=heard)
        weight = torch.cat(
            [w.detach().flatten() for w in adapter_of(world.model).prunable(world.model).values()]
        )
        masks.append(weight == 0)
    total = masks[0].numel()
    assert int(masks[0].sum()) == 2 * round(0.2 * total)
    assert int(masks[1].sum()) == int(0.5 * total)  # the cap
    assert bool((masks[1] | ~masks[0]).all())
