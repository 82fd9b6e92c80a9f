from __future__ import annotations

import pytest
import torch

from consolidation.cycle import sleep
from consolidation.errors import NocturneInputError
from consolidation.phases.merging import merge_weight, merge_weights, recalibrate
from consolidation.weights import new_model
from tests.consolidation.families_helpers import CNN, lived_in, picture_records
from tests.consolidation.helpers import CONFIG, Recorder, make_records, make_world


def test_it_is_the_closed_form() -> None:
    generator = torch.Generator().manual_seed(0)
    theta, reference, f_new, f_ref = (torch.rand(50, generator=generator) for _ in range(4))
    f_new[:5], f_ref[:5] = 0, 0  # seen by neither
    f_new[5:10] = 0
    m = 0.3
    expected = (m * f_ref * reference + f_new * theta) / (m * f_ref + f_new)
    expected[:5] = theta[:5]
    merged = theta.clone()
    merge_weights({"w": merged}, {"w": reference}, {"w": f_new}, {"w": f_ref}, m)
    assert torch.allclose(merged, expected)
    assert torch.equal(merged[5:10], (m * f_ref * reference / (m * f_ref))[5:10])


def test_a_stored_fisher_is_used() -> None:
    world, heard = make_world(passes=0.1), Recorder()
    stored = {name: torch.ones_like(p) for name, p in world.model.named_parameters()}
    sleep(
        world.model,
        world.memories,
        world.probes,
        world.recipe,
        reference=world.reference,
        reference_fisher=stored,
        on_event=heard,
    )
    assert [d["kept"] for d in heard.of("decision") if d["name"] == "merge"] == [True]


def test_without_the_model_before_waking_there_is_no_merging() -> None:
    world, heard = make_world(passes=0.1), Recorder()
    sleep(world.model, world.memories, world.probes, world.recipe, on_event=heard)
    assert "merging" not in [s["stage"] for s in heard.of("stage_started")]


def test_a_fisher_or_a_reference_of_another_model_is_refused() -> None:
    world = make_world()
    with pytest.raises(NocturneInputError) as caught:
        sleep(world.model, world.memories, world.probes, world.recipe, reference_fisher={"w": torch.ones(3)})
    assert caught.value.code == "fisher.shapes"
    other = new_model("mlp", CONFIG | {"layers": [8, 16, 11, 4]}, 0)
    with pytest.raises(NocturneInputError) as caught:
        sleep(world.model, world.memories, world.probes, world.recipe, reference=other)
    assert caught.value.code == "reference.shapes"


def test_the_reference_weighs_more_where_memories_are_few() -> None:
    recipe = make_world().recipe
    few, many = [make_records(0, 99, 1)], [make_records(0, 60, 1), make_records(0, 40, 2)]
    assert merge_weight(recipe, few) > merge_weight(recipe, many) > 0
    assert merge_weight(make_world(merge=0.7).recipe, few) == 0.7


def test_running_statistics_are_those_of_the_memories_under_the_merged_weights() -> None:
    model = lived_in(new_model("cnn", CNN | {"norm": True}, 1)).eval()
    memories = [picture_records(i, 64, 1) for i in range(2)]
    seen: list[torch.Tensor] = []
    norm = next(m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))
    handle = norm.register_forward_hook(lambda _module, given, _out: seen.append(given[0]))
    counts = {n: int(b) for n, b in model.named_buffers() if n.endswith("num_batches_tracked")}
    weights = {n: p.clone() for n, p in model.named_parameters()}
    recalibrate(model, memories, 4, torch.device("cpu"))
    handle.remove()
    assert norm.running_mean is not None
    assert torch.allclose(norm.running_mean, torch.cat(seen).mean((0, 2, 3)), atol=1e-5)
    assert {n: int(b) for n, b in model.named_buffers() if n in counts} == counts
    assert all(torch.equal(p, weights[n]) for n, p in model.named_parameters())
    assert not norm.training and norm.momentum is not None


def test_a_pass_that_fails_leaves_the_norms_as_they_were() -> None:
    model = new_model("cnn", CNN | {"norm": True}, 1).eval()
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    too_wide = [make_records(0, 9, 1)]
    with pytest.raises(RuntimeError):
        recalibrate(model, too_wide, 4, torch.device("cpu"))
    assert [norm.momentum for norm in norms] == before != []
    assert not any(norm.training for norm in norms)


def test_a_frozen_reference_merges_like_one_that_could_learn_and_frozen_weights_stay() -> None:
    ends = []
    for frozen in (True, False):
        world = make_world(passes=0, dream=0, prune=0, eta=0)
        world.reference.requires_grad_(not frozen)
        sleep(world.model, world.memories, world.probes, world.recipe, reference=world.reference)
        assert all(p.requires_grad is not frozen for p in world.reference.parameters())
        ends.append([p.detach().clone() for p in world.model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))

    world = make_world(passes=1, prune=0.4, prune_cap=1.0, tolerance=1.0, task_tolerance=1.0)
    still = world.model.get_parameter("a.0.weight").requires_grad_(False)
    before, moved = still.clone(), world.model.get_parameter("a.1.weight")
    sleep(world.model, world.memories, world.probes, world.recipe, reference=world.reference)
    assert torch.equal(still, before)
    assert bool((moved == 0).any())


def test_the_anchor_holds_without_memories_of_the_newest_task() -> None:
    world, heard = make_world(anchor=0.5, passes=1), Recorder()
    sleep(
        world.model, world.memories[:2], world.probes, world.recipe, reference=world.reference,
        on_event=heard,
    )  # fmt: skip
    [merge] = [d for d in heard.of("decision") if d["name"] == "merge"]
    assert not merge["kept"]
    assert "no memories of the newest task" in merge["reason"]
    assert all(step["anchor"] is not None for step in heard.of("step") if step["stage"] == "NREM replay")


def test_a_model_without_batchnorm_is_left_alone() -> None:
    world = make_world()
    called: list[int] = []
    world.model.register_forward_hook(lambda *_: called.append(1))
    recalibrate(world.model, world.memories, 4, torch.device("cpu"))
    assert not called
