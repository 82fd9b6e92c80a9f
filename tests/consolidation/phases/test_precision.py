"""bfloat16 passes over float32 weights: what is cast, what is not, and that it learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from consolidation.cycle import sleep
from consolidation.errors import Stopped
from consolidation.phases.optimizers import AdamW
from consolidation.phases.precision import SLOW, is_slow, passes
from consolidation.phases.training import Training
from consolidation.recipe import preset
from consolidation.snapshot import read_snapshot
from consolidation.waking import wake
from consolidation.weights import new_model
from tests.consolidation.families_helpers import CNN, lived_in, picture_records
from tests.consolidation.helpers import CONFIG, Recorder, bits, hooks, make_records, make_world, wake_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from consolidation.report import Report

CPU = torch.device("cpu")
ALL: dict[str, Any] = {
    "reconstruct": "linear-decoder", "anchor": 0.1, "optimizer": "adamw", "lr": 0.01, "dream": 0.3,
    "passes": 2.0, "micro_batch": 5, "task_tolerance": 1.0, "tolerance": 1.0,
}  # fmt: skip


def dtypes(model: nn.Module, layer: str) -> list[tuple[bool, bool, torch.dtype]]:
    """(with gradients, with many records, dtype of the layer's output) of each pass to come."""
    seen: list[tuple[bool, bool, torch.dtype]] = []

    def hook(_module: nn.Module, _args: Any, h: Tensor) -> None:
        seen.append((torch.is_grad_enabled(), len(h) > 1, h.dtype))

    model.get_submodule(layer).register_forward_hook(hook)
    return seen


def night(workdir: Path | None = None, stop: Any = None, **overrides: Any) -> tuple[nn.Module, Report]:
    world = make_world(precision="bf16", **overrides)
    report = sleep(
        world.model, world.memories, world.probes, world.recipe, reference=world.reference, workdir=workdir,
        stop=stop,
    )  # fmt: skip
    return world.model, report


def test_products_are_bfloat16_and_gradients_float32() -> None:
    layer = nn.Linear(3, 2)
    with passes("bf16", CPU):
        h = layer(torch.ones(4, 3))
    assert h.dtype == torch.bfloat16
    assert layer(torch.ones(4, 3)).dtype == torch.float32, "outside it is as before"
    h.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    with passes("fp32", CPU):
        assert layer(torch.ones(4, 3)).dtype == torch.float32


def test_a_pass_without_gradients_does_not_cut_off_the_next() -> None:
    layer = nn.Linear(3, 2)
    with passes("bf16", CPU), torch.no_grad():
        layer(torch.ones(1, 3))
    with passes("bf16", CPU):
        layer(torch.ones(1, 3)).float().sum().backward()
    assert layer.weight.grad is not None


def test_the_night_casts_its_training_passes_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes and Fisher run in float32, and so are weights, averages, gradients and optimiser state."""
    world = make_world(precision="bf16", **ALL)
    state: list[torch.dtype] = []
    seen = dtypes(world.model, "a.1")
    step = Training._step

    def watched(self: Training) -> None:
        step(self)
        tensors = [*self.weights.values(), *self.tensors().values(), *self.averaged.values()]
        state.extend(tensor.dtype for tensor in tensors)
        state.extend(weight.grad.dtype for weight in self.weights.values() if weight.grad is not None)
        assert isinstance(self.optimizer, AdamW)

    monkeypatch.setattr(Training, "_step", watched)
    heard = Recorder()
    report = sleep(
        world.model, world.memories, world.probes, world.recipe, reference=world.reference, on_event=heard
    )
    assert set(state) == {torch.float32}
    assert {tensor.dtype for tensor in world.model.state_dict().values()} == {torch.float32}
    assert report.fisher is not None
    assert {tensor.dtype for tensor in report.fisher.tensors.values()} == {torch.float32}
    low = [one for one in seen if one[2] == torch.bfloat16]
    assert low
    # 120 memories at 5 a time, dreams too, and each replayed piece once more without noise for the decoders
    steps = heard.of("step")
    pieces = {stage: 4 * sum(s["stage"] == stage for s in steps) for stage in ("NREM replay", "REM dreaming")}
    assert sum(with_gradients for with_gradients, *_ in low) == sum(pieces.values())
    assert len(low) == 2 * pieces["NREM replay"] + pieces["REM dreaming"]
    rest = {dtype for with_gradients, _, dtype in seen if not with_gradients}
    assert torch.float32 in rest, "probes"


def test_by_default_nothing_is_cast() -> None:
    world = make_world(**ALL)
    seen = dtypes(world.model, "a.1")
    sleep(world.model, world.memories, world.probes, world.recipe, reference=world.reference)
    assert {dtype for *_, dtype in seen} == {torch.float32}
    assert preset("night").precision == "fp32"


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_it_learns_about_as_well(optimizer: str) -> None:
    """By day a task of four clusters, by night what it was and two others."""
    ends: dict[str, list[float]] = {}
    for precision in ("fp32", "bf16"):
        model = new_model("mlp", CONFIG, 1)
        rate = {"sgd": 0.1, "adamw": 0.01}[optimizer]
        day = wake(
            model, make_records(0, 200, 1), [make_records(0, 300, 2)],
            wake_recipe(precision=precision, optimizer=optimizer, lr=rate, epochs=25),
        )  # fmt: skip
        world = make_world(precision=precision, optimizer=optimizer, lr=rate, passes=30.0, merge=0.0)
        plain = [make_records(i, 100, 1) for i in range(3)]  # the helpers' logits are noise
        probes = [make_records(i, 300, 2) for i in range(3)]
        told = sleep(model, plain, probes, world.recipe)
        ends[precision] = [day.after["first"], sum(told.after.values()) / 3]
        assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    assert min(ends["fp32"]) > 0.8
    assert ends["bf16"] == pytest.approx(ends["fp32"], abs=0.03)


@pytest.mark.parametrize("at", [9, 20, 30])
def test_resumed_is_unbroken_bit_for_bit(at: int, tmp_path: Path) -> None:
    whole, report = night(**ALL)
    left = iter(range(at))
    with pytest.raises(Stopped):
        night(tmp_path, lambda: None if next(left, None) is not None else "stop", **ALL)
    kept = read_snapshot(tmp_path)
    assert kept is not None
    assert torch.bfloat16 not in {tensor.dtype for tensor in kept[0].values()}
    again, found = night(tmp_path, **ALL)
    assert bits(again) == bits(whole)
    assert found.correct == report.correct


def test_convolutions_and_norms_go_through_day_and_night() -> None:
    model = lived_in(new_model("cnn", CNN | {"norm": True}, 1))
    probes = [picture_records(i, 30, 2) for i in range(2)]
    wake(model, picture_records(1, 64, 1), probes[1:], wake_recipe(precision="bf16", epochs=1))
    recipe = preset("night", precision="bf16", passes=2, lr=0.02, batch=16, fisher_samples=16, dream=0.2)
    report = sleep(model, [picture_records(i, 30, 1) for i in range(2)], probes, recipe)
    assert report.verdict in {"improved", "unchanged", "rejected"}
    floats = [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]
    assert {tensor.dtype for tensor in floats} == {torch.float32}
    assert all(bool(torch.isfinite(tensor).all()) for tensor in floats)
    assert hooks(model) == 0


@pytest.mark.parametrize(("has", "precision", "warned"), [("AVX2", "bf16", True), ("AVX512", "bf16", False),
                                                          ("AVX2", "fp32", False)])  # fmt: skip
def test_a_processor_that_emulates_it_is_told_of(
    has: str, precision: str, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: has)
    assert is_slow(precision, CPU) is warned
    assert not is_slow(precision, torch.device("meta"))
    seen = Recorder()
    world = make_world(precision=precision)
    sleep(world.model, world.memories, world.probes, world.recipe, reference=world.reference, on_event=seen)
    wake(world.model, make_records(0, 8, 1), world.probes[:1], wake_recipe(precision=precision, epochs=1),
         on_event=seen)  # fmt: skip
    told = [(one["level"], one["message"]) for one in seen.of("log")]
    assert told.count(("warning", SLOW)) == 2 * warned
