"""Running statistics: trained awake, untouched asleep, carried through files, snapshots and faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from consolidation.cycle import sleep
from consolidation.errors import NocturneInputError, Stopped
from consolidation.recipe import preset
from consolidation.waking import wake
from consolidation.weights import load_model, new_model, save_model
from tests.consolidation.families_helpers import CNN, RESNET, lived_in, picture_records
from tests.consolidation.helpers import Recorder, bits, wake_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from consolidation.report import Report

NORMED = CNN | {"norm": True}
PROBES = [picture_records(i, 30, 2) for i in range(2)]
MEMORIES = [picture_records(i, 30, 1, logits=True) for i in range(2)]
NIGHT: dict[str, Any] = {
    "passes": 6, "lr": 0.02, "batch": 16, "fisher_samples": 20, "snapshot_every_s": 0, "dream": 0.3,
    "noise": 0.1, "reconstruct": "consistency", "momentum": 0.9, "min_gain": 0.0,
}  # fmt: skip


def statistics(model: nn.Module) -> dict[str, bytes]:
    buffers = dict(model.named_buffers())
    return {name: data for name, data in bits(model).items() if name in buffers}


def night(workdir: Path | None = None, stop: Any = None) -> tuple[nn.Module, Report]:
    model, reference = lived_in(new_model("cnn", NORMED, 1)), lived_in(new_model("cnn", NORMED, 2))
    recipe = preset("night", **NIGHT)
    return model, sleep(model, MEMORIES, PROBES, recipe, reference=reference, workdir=workdir, stop=stop)


def day(workdir: Path | None = None, stop: Any = None) -> tuple[nn.Module, Report]:
    model = lived_in(new_model("cnn", NORMED, 1))
    return model, wake(model, picture_records(2, 65, 1), PROBES, wake_recipe(), workdir=workdir, stop=stop)


@pytest.mark.parametrize(("family", "config"), [("cnn", NORMED), ("vision", RESNET)])
def test_a_night_moves_the_weights_and_never_the_statistics(family: str, config: dict[str, Any]) -> None:
    model, reference = lived_in(new_model(family, config, 1)), lived_in(new_model(family, config, 2))
    model.train()
    before, still = bits(model), statistics(model)
    sleep(model, MEMORIES, PROBES, preset("night", **NIGHT, merge=0.0), reference=reference)
    assert statistics(model) == still
    moved = {name for name, data in bits(model).items() if data != before[name]}
    assert moved == {name for name, _ in model.named_parameters()}
    assert model.training  # as it was given


def test_a_day_trains_the_norms_in_train_mode() -> None:
    model, report = day()
    fresh = lived_in(new_model("cnn", NORMED, 1))
    assert all(statistics(model)[name] != data for name, data in statistics(fresh).items())
    counts = [tensor for name, tensor in model.named_buffers() if name.endswith("num_batches_tracked")]
    assert [(count.dtype, int(count)) for count in counts] == [(torch.int64, report.steps)] * 2


def test_a_batch_of_one_is_refused_before_anything_starts() -> None:
    model, heard = new_model("cnn", NORMED, 1), Recorder()
    before = bits(model)
    with pytest.raises(NocturneInputError, match="batch of 1") as caught:
        wake(model, picture_records(0, 20, 1), PROBES, wake_recipe(batch=1), on_event=heard)
    assert caught.value.code == "cycle.batchnorm_batch"
    assert bits(model) == before
    assert heard.events == []
    plain = new_model("cnn", CNN, 1)
    assert wake(plain, picture_records(0, 20, 1), PROBES, wake_recipe(batch=1, epochs=1)).steps == 20


@pytest.mark.parametrize("count", [1, 17, 33])
def test_no_batch_is_left_with_one_record(count: int) -> None:
    model = new_model("cnn", NORMED, 1)
    sizes: list[int] = []
    model.get_submodule("bn1").register_forward_hook(
        lambda module, args, _output: sizes.append(len(args[0])) if module.training else None
    )
    wake(model, picture_records(0, count, 1), PROBES, wake_recipe(batch=16, epochs=3))
    assert set(sizes) == {16}


def stop_after(calls: int) -> Any:
    left = iter(range(calls))
    return lambda: None if next(left, None) is not None else "stop"


@pytest.mark.parametrize("run", [night, day], ids=["night", "day"])
@pytest.mark.parametrize("at", [5, 11, 17])
def test_resumed_is_unbroken_bit_for_bit(run: Any, at: int, tmp_path: Path) -> None:
    whole, report = run()
    with pytest.raises(Stopped):
        run(tmp_path, stop_after(at))
    again, found = run(tmp_path)
    assert bits(again) == bits(whole)
    assert found.correct == report.correct


def test_a_day_that_diverges_gives_the_statistics_back_too() -> None:
    model = lived_in(new_model("cnn", NORMED, 1))
    before = bits(model)
    batches = iter(range(4))

    def overflow(module: nn.Module, _args: Any, logits: torch.Tensor) -> torch.Tensor:
        return logits * float("inf") if module.training and next(batches, None) is None else logits

    model.get_submodule("fc2").register_forward_hook(overflow)
    with pytest.raises(NocturneInputError) as caught:
        wake(model, picture_records(2, 65, 1), PROBES, wake_recipe())
    assert caught.value.code == "cycle.diverged"
    assert bits(model) == before


def test_counts_stay_whole_numbers_in_files_of_half_precision(tmp_path: Path) -> None:
    model, _ = day()
    model.nocturne_dtypes = {  # type: ignore[assignment]
        name: torch.float16 if tensor.is_floating_point() else tensor.dtype
        for name, tensor in model.state_dict().items()
    }
    save_model(model, tmp_path / "m")
    back = load_model(tmp_path / "m")
    counts = {n: t for n, t in back.named_buffers() if n.endswith("num_batches_tracked")}
    assert all(torch.equal(count, dict(model.named_buffers())[name]) for name, count in counts.items())
    assert {count.dtype for count in counts.values()} == {torch.int64}


@pytest.mark.parametrize(
    ("tensor", "code"),
    [
        ({"bn1.num_batches_tracked": torch.tensor(3.0)}, "checkpoint.dtype"),
        ({"bn1.num_batches_tracked": torch.tensor([3])}, "checkpoint.shapes"),
        ({"bn1.running_var": torch.tensor([1.0, -1.0, 1.0, 1.0])}, "weights.variance"),
        ({"bn1.running_mean": torch.tensor([1, 1, 1, 1])}, "checkpoint.dtype"),
    ],
)
def test_statistics_that_cannot_be_are_refused(
    tensor: dict[str, torch.Tensor], code: str, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    save_model(new_model("cnn", NORMED, 1), tmp_path / "m")
    save_file(load_file(tmp_path / "m") | tensor, tmp_path / "bad")
    with pytest.raises(NocturneInputError) as caught:
        load_model(tmp_path / "bad", family="cnn", config=NORMED)
    assert caught.value.code == code
