from __future__ import annotations

import pytest
import torch

from consolidation.cycle import sleep
from consolidation.errors import NocturneInputError
from consolidation.phases.merging import merge_weights
from consolidation.weights import new_model
from tests.consolidation.helpers import CONFIG, Recorder, make_world


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
