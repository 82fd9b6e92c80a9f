"""A night leaves no hook, no gradient and no mode behind, on any family's model, however it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from consolidation.cycle import sleep
from consolidation.dry_run import dry_run
from consolidation.errors import NocturneInputError
from consolidation.families.adapter import adapter_of
from consolidation.phases.noise import noisy, recorded
from consolidation.recipe import preset
from consolidation.waking import wake
from consolidation.weights import new_model
from tests.consolidation.families_helpers import nets, picture_records
from tests.consolidation.helpers import CONFIG, Recorder, hooks, make_records, wake_recipe

if TYPE_CHECKING:
    from torch import nn

    from consolidation.events import Event
    from consolidation.memory.store import Records

FAMILIES = ("mlp", *nets())
SETTINGS: dict[str, Any] = {
    "passes": 0.5, "batch": 8, "lr": 0.01, "fisher_samples": 8, "min_gain": 0.0, "dream": 0.3,
    "reconstruct": "linear-decoder",
}  # fmt: skip


def world(name: str) -> tuple[nn.Module, list[Records], list[Records]]:
    make = make_records if name == "mlp" else picture_records
    model = new_model("mlp", CONFIG, 1) if name == "mlp" else nets()[name]
    memories = [make(i, 16, 1, logits=True) for i in range(2)]
    return model, memories, [make(i, 12, 2) for i in range(2)]


class Broken(Exception):
    pass


@pytest.mark.parametrize("stage", ["NREM replay", "significance", "downscaling", "REM dreaming"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_night_that_breaks_leaves_nothing(name: str, stage: str) -> None:
    model, memories, probes = world(name)
    model.train()

    def strike(event: Event) -> None:
        here = getattr(event, "stage", "")
        if here == stage and event.kind in ("step", "stage_ended"):
            raise Broken

    with pytest.raises(Broken):
        sleep(model, memories, probes, preset("night", **SETTINGS), on_event=strike)
    assert hooks(model) == 0
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_norm_that_was_frozen_in_a_model_that_trains_stays_so() -> None:
    model, memories, probes = world("cnn with norms")
    model.train()
    norm = next(m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)).eval()
    sleep(model, memories, probes, preset("night", **SETTINGS))
    assert model.training
    assert not norm.training


def test_a_model_that_may_not_learn_hears_it_at_once() -> None:
    model, memories, probes = world("mlp")
    model.requires_grad_(False)
    for work in (
        lambda: sleep(model, memories, probes, preset("night", **SETTINGS)),
        lambda: wake(model, memories[0], probes, wake_recipe()),
        lambda: dry_run(model, memories, preset("night", **SETTINGS)),
    ):
        with pytest.raises(NocturneInputError, match="requires_grad") as refused:
            work()
        assert refused.value.code == "weights.frozen"


def test_an_anchor_without_the_model_before_waking_is_told() -> None:
    model, memories, probes = world("mlp")
    heard = Recorder()
    sleep(model, memories, probes, preset("night", **SETTINGS, anchor=1.0), on_event=heard)
    assert sum("nothing pulls" in log["message"] for log in heard.of("log")) == 1


@pytest.mark.parametrize("name", FAMILIES)
def test_a_block_that_fails_in_a_noisy_pass_leaves_nothing(name: str) -> None:
    model, memories, _ = world(name)
    blocks = adapter_of(model).blocks(model)
    x = torch.from_numpy(memories[0].inputs())

    def fail(*_: object) -> None:
        raise Broken

    handle = blocks[-1].register_forward_hook(fail)
    with pytest.raises(Broken), noisy(blocks, 0.1, torch.Generator()), recorded(blocks):
        model(x)
    handle.remove()
    assert hooks(model) == 0


@pytest.mark.parametrize("name", FAMILIES)
def test_a_night_that_diverges_leaves_the_bits_it_began_with(name: str) -> None:
    """Norms' running statistics too."""
    model, memories, probes = world(name)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    wild = preset("night", **(SETTINGS | {"lr": 100.0, "clip": 0.0, "distill": 100.0, "passes": 20.0}))
    with pytest.raises(NocturneInputError, match=r"In NREM replay the .* stopped being a finite number"):
        sleep(model, memories, probes, wild)
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[key]), key
    assert hooks(model) == 0


@pytest.mark.parametrize("name", ["cnn with norms", "resnet18"])
def test_micro_batches_equal_the_whole_batch_on_pictures(name: str) -> None:
    ends = []
    for micro in (0, 3):
        model, memories, probes = world(name)
        recipe = preset(
            "night",
            **(
                SETTINGS
                | {"noise": 0.0, "prune": 0.0, "eta": 0.0, "micro_batch": micro, "dream": 0.0, "passes": 2.0}
            ),
        )
        sleep(model, memories, probes, recipe)
        ends.append(model.state_dict())
    for key, tensor in ends[0].items():
        assert torch.allclose(tensor, ends[1][key], rtol=0, atol=1e-5), key


@pytest.mark.parametrize("name", ["paper", "literal"])
def test_presets_of_the_published_reading_neither_stop_early_nor_cap(name: str) -> None:
    recipe = preset(name)
    assert (recipe.pass_cap, recipe.min_gain) == (0.0, 0.0)
