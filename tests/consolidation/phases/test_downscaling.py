from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from consolidation.cycle import sleep
from consolidation.families.adapter import adapter_of
from consolidation.phases.downscaling import prune, prune_count, strengthen
from consolidation.phases.selecting import Chooser, find_cut, keys
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
    parts = (slice(0, 50), slice(50, 120))
    choose = Chooser(find_cut(lambda: (keys(values[part], allowed[part]) for part in parts), k))
    mask = torch.cat([choose(keys(values[part], allowed[part])) for part in parts])
    assert int(mask.sum()) == min(k, int(allowed.sum()))
    assert not bool((mask & ~allowed).any())
    if mask.any() and (allowed & ~mask).any():
        most = float(values[mask].max())
        assert most <= float(values[allowed & ~mask].min())
        tied = torch.nonzero(allowed & (values == most)).squeeze(1)
        assert mask[tied].tolist() == sorted(mask[tied].tolist(), reverse=True)  # by place


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


def test_outputs_may_be_columns_and_kernels() -> None:
    """A convolution keeps each output channel's norm, a transposed matrix (GPT-2's Conv1D) each column's."""
    generator = torch.Generator().manual_seed(5)
    weights = {
        "conv": torch.randn(6, 3, 3, 3, generator=generator).to(memory_format=torch.channels_last),
        "columns": torch.randn(9, 12, generator=generator),
    }
    fisher = {name: torch.rand(w.shape, generator=generator) for name, w in weights.items()}
    before = {name: w.clone() for name, w in weights.items()}
    strengthen(weights, fisher, "obd", 0.25, 0.05, {"columns": 1})
    for name, inputs in (("conv", (1, 2, 3)), ("columns", (0,))):
        assert not torch.equal(weights[name], before[name])
        old, new = (torch.linalg.vector_norm(w[name], dim=inputs) for w in (before, weights))
        assert torch.allclose(old, new, rtol=1e-5)
    assert prune(weights, fisher, "fisher", 100, {"columns": 1})["pruned"] == 100
    assert sum(int((w == 0).sum()) for w in weights.values()) == 100


def test_columns_are_the_rows_of_the_transposed() -> None:
    one, other = tensors(3, (14, 11)), tensors(3, (14, 11))
    other = {"w0": other["w0"].T.contiguous()}
    fisher = {"w0": torch.rand(14, 11, generator=torch.Generator().manual_seed(1))}
    turned = {"w0": fisher["w0"].T.contiguous()}
    prune(one, fisher, "obd", 31)
    prune(other, turned, "obd", 31, {"w0": 1})
    assert torch.equal(one["w0"], other["w0"].T)
    strengthen(one, fisher, "obd", 0.3, 0.05)
    strengthen(other, turned, "obd", 0.3, 0.05, {"w0": 1})
    assert torch.allclose(one["w0"], other["w0"].T, rtol=1e-5)


def test_blocks_do_not_change_what_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = ((40, 30), (7, 30))
    whole, blocks = tensors(0, *shapes), tensors(0, *shapes)
    fisher = {name: tensor.abs() for name, tensor in tensors(1, *shapes).items()}
    for weights, size in ((whole, 1 << 20), (blocks, 64)):
        monkeypatch.setattr("consolidation.phases.downscaling.BLOCK", size)
        prune(weights, fisher, "obd", 333)
        strengthen(weights, fisher, "obd", 0.2, 0.05)
    for name, weight in whole.items():
        assert torch.equal(weight, blocks[name])


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
