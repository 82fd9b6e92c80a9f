"""DeepInversion: dreams from BatchNorm statistics alone, and the night that replays them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from consolidation import wrap
from consolidation.cycle import sleep
from consolidation.errors import NocturneInputError, Stopped
from consolidation.estimate import estimate, inversion_budget
from consolidation.memory.store import Records
from consolidation.phases.inverting import batch_statistics, invert, picture_priors, total_variation
from consolidation.recipe import preset
from consolidation.waking import wake
from consolidation.weights import new_model
from tests.consolidation.families_helpers import CNN, RESNET, lived_in, picture_records
from tests.consolidation.helpers import Recorder, bits, hooks, make_world, wake_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from consolidation.report import Report

NORMED = CNN | {"norm": True}
PROBES = [picture_records(i, 40, 2) for i in range(2)]
MEMORIES = [picture_records(i, 40, 1, logits=True) for i in range(2)]
NIGHT: dict[str, Any] = {
    "passes": 12, "lr": 0.02, "batch": 16, "fisher_samples": 20, "snapshot_every_s": 0, "dream": 0.2,
    "dream_kind": "inversion", "inversion_steps": 15, "min_gain": 0.0, "tolerance": 1.0,
    "task_tolerance": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def learned() -> dict[str, Tensor]:
    """Weights and statistics of a small net that has learned the first task."""
    torch.set_num_threads(1)
    model = new_model("cnn", NORMED, 1)
    wake(model, picture_records(0, 320, 3), PROBES[:1], wake_recipe(epochs=6))
    return model.state_dict()


def knows(state: dict[str, Tensor]) -> nn.Module:
    model = new_model("cnn", NORMED, 1)
    model.load_state_dict(state)
    return model.eval()


def night(
    state: dict[str, Tensor], reference: nn.Module | None = None, workdir: Path | None = None,
    stop: Any = None, heard: Any = None, **overrides: Any,
) -> tuple[nn.Module, Report]:  # fmt: skip
    model = knows(state)
    recipe = preset("night", **(NIGHT | overrides))
    report = sleep(
        model, MEMORIES, PROBES, recipe, reference=reference, workdir=workdir, stop=stop, on_event=heard
    )
    assert hooks(model) == 0
    return model, report


def test_the_distance_is_that_of_means_and_variances_of_the_batch() -> None:
    norm = nn.BatchNorm2d(2).eval()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    x = torch.randn(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    norm.running_mean.copy_(x.mean((0, 2, 3)) + torch.tensor([3.0, 4.0]))
    norm.running_var.copy_(x.var((0, 2, 3), correction=0) + torch.tensor([5.0, 12.0]))
    with batch_statistics(nn.Sequential(norm)) as apart:
        norm(x)
    assert float(apart[0]) == pytest.approx(5 + 13, rel=1e-5)
    assert hooks(norm) == 0


def test_the_priors_of_a_picture_do_not_depend_on_the_order_of_its_numbers() -> None:
    picture = torch.tensor([[[[0.0, 1.0], [4.0, 4.0]]]])
    assert float(total_variation(picture)) == pytest.approx((4 + 3 + 1 + 0) / 4)
    hwc = torch.rand(2, 3, 4, 5).permute(0, 2, 3, 1)
    chw = hwc.permute(0, 3, 1, 2)
    one = picture_priors(hwc.reshape(2, -1), {"layout": "hwc", "input": [3, 4, 5]})
    assert float(one) == pytest.approx(
        float(picture_priors(chw.reshape(2, -1), {"layout": "chw", "input": [3, 4, 5]}))
    )
    assert float(picture_priors(torch.rand(2, 8), {"input_width": 8})) == 0


def test_dreams_are_answered_as_meant_and_look_to_the_norms_like_what_they_saw(
    learned: dict[str, Tensor],
) -> None:
    model = knows(learned)
    before = bits(model)
    labels = torch.arange(32) % 4
    noise = torch.randn(32, 192, generator=torch.Generator().manual_seed(1))
    losses: list[float] = []
    x = invert(model, noise, labels, 120, (-2.0, 2.0), lambda loss, _ce: losses.append(float(loss)))

    def apart(inputs: Tensor) -> float:
        with batch_statistics(model) as found, torch.no_grad():
            model(inputs)
        return float(sum(found))

    assert len(losses) == 120
    assert losses[-1] < 0.3 * losses[0]
    assert apart(x) < 0.5 * apart(noise)
    assert float((model(x).argmax(1) == labels).float().mean()) > 0.9
    assert float(x.abs().max()) <= 2
    assert bits(model) == before, "neither weights nor statistics"
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_night_tells_how_many_dreams_of_what_kind_and_counts_its_steps(learned: dict[str, Tensor]) -> None:
    heard = Recorder()
    model, report = night(learned, heard=heard)
    budget = inversion_budget(preset("night", **NIGHT), 80)
    assert (budget.batches, budget.steps, budget.replayed) == (1, 15, 12)
    told = estimate(preset("night", **NIGHT), family="cnn", config=NORMED, memories=[40, 40])
    steps = [step for step in heard.of("step") if step["stage"] == "REM dreaming"]
    assert len(steps) == 15 + 12
    assert report.steps == told.steps == steps[-1]["step"] == steps[-1]["total_steps"]
    [decision] = [d for d in heard.of("decision") if d["name"] == "dream"]
    detail = decision["detail"]
    assert decision["kept"]
    assert (detail["dream_kind"], detail["synthetic"], detail["generation"]) == ("inversion", True, 1)
    [log] = [log for log in heard.of("log") if "dreams" in log["message"]]
    assert log["message"] == (
        f"{detail['dreams']} of 16 inverted dreams are answered by the model as meant; all are synthetic, of "
        "generation 1, and none is stored."
    )
    progress = [event.progress for event in heard.events]
    assert progress == sorted(progress)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_labels_are_balanced_over_the_classes_of_the_memories(
    learned: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    from consolidation.phases import inverting

    seen: list[Tensor] = []
    whole = inverting.invert

    def watched(frozen: nn.Module, x: Tensor, labels: Tensor, *rest: Any) -> Tensor:
        seen.append(labels)
        return whole(frozen, x, labels, *rest)

    monkeypatch.setattr(inverting, "invert", watched)
    without = [records.take(np.asarray(records.y) != 2) for records in MEMORIES]
    recipe = preset("night", **(NIGHT | {"inversion_steps": 2, "batch": 10, "passes": 20}))
    sleep(knows(learned), without, PROBES, recipe)
    counts = np.bincount(torch.cat(seen).numpy(), minlength=4)
    assert len(seen) > 3
    assert counts[2] == 0
    assert counts[[0, 1, 3]].max() - counts[[0, 1, 3]].min() <= 1


def test_the_model_before_waking_dreams_when_it_is_there(learned: dict[str, Tensor]) -> None:
    reference, heard = knows(learned), Recorder()
    before = bits(reference)
    awake = lived_in(new_model("cnn", NORMED, 2)).state_dict()
    night(awake, reference, heard=heard, merge=0.0)
    assert any("by the model before waking as meant" in log["message"] for log in heard.of("log"))
    assert bits(reference) == before
    assert all(parameter.grad is None for parameter in reference.parameters())
    assert hooks(reference) == 0


def negatives(count: int, seed: int) -> Records:
    """The pictures of the first task as negatives, each class called what the next one was."""
    seen = picture_records(0, count, seed)
    return Records(
        task="negatives", x=255 - seen.x, y=(np.asarray(seen.y) + 1) % 4, classes=4, transform=seen.transform
    )


def test_inverted_dreams_alone_bring_back_what_was_lost(learned: dict[str, Tensor]) -> None:
    """Of the first task no memory is left, only the model that knew it."""
    model = knows(learned)
    probes = [picture_records(0, 200, 2), negatives(200, 2)]
    wake(model, negatives(320, 3), [], wake_recipe(epochs=6))
    lost = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    reports = []
    for dream in (0.0, 0.3):
        model.load_state_dict(lost)
        changes = {"dream": dream, "inversion_steps": 100, "passes": 50, "merge": 0.0, "batch": 32}
        changes |= {"tolerance": 0.002, "task_tolerance": 0.01}
        recipe = preset("night", **(NIGHT | changes))
        reports.append(sleep(model, [negatives(40, 1)], probes, recipe, reference=knows(learned)))
    awake, dreamt = reports
    assert awake.before["tint 0"] < 0.8
    assert awake.after["tint 0"] < 0.8, "replay of the newest task brings nothing back"
    assert dreamt.after["tint 0"] > 0.9
    assert dreamt.after["negatives"] > 0.95
    assert dreamt.verdict == "improved"


def test_dreams_that_nobody_answers_are_not_replayed(learned: dict[str, Tensor]) -> None:
    """A frozen model that says class 0 of everything, and memories without class 0."""
    reference, heard = knows(learned), Recorder()
    with torch.no_grad():
        reference.get_parameter("fc2.bias")[0] = 1e6
    without = [records.take(np.asarray(records.y) != 0) for records in MEMORIES]
    recipe = preset("night", **NIGHT, merge=0.0)
    report = sleep(knows(learned), without, PROBES, recipe, reference=reference, on_event=heard)
    [decision] = [d for d in heard.of("decision") if d["name"] == "dream"]
    assert not decision["kept"]
    assert "answers none of 16 inverted dreams" in decision["reason"]
    assert decision["detail"]["dreams"] == 0
    assert decision["reason"] in [d["reason"] for d in report.decisions]


def test_two_nights_are_the_same_and_one_cut_in_its_dreams_is_too(
    learned: dict[str, Tensor], tmp_path: Path
) -> None:
    whole, report = night(learned)
    assert bits(night(learned)[0]) == bits(whole)
    for number, late in enumerate((5, 20)):
        heard = Recorder()

        def stop(heard: Recorder = heard, late: int = late) -> str | None:
            dreamt = [step for step in heard.of("step") if step["stage"] == "REM dreaming"]
            return "stop" if len(dreamt) >= late else None

        with pytest.raises(Stopped):
            night(learned, workdir=tmp_path / str(number), stop=stop, heard=heard)
        again, found = night(learned, workdir=tmp_path / str(number))
        assert bits(again) == bits(whole)
        assert (found.correct, found.steps) == (report.correct, report.steps)


def test_without_room_for_a_batch_half_as_many_are_dreamt(learned: dict[str, Tensor]) -> None:
    model, heard = knows(learned), Recorder()

    def narrow(module: nn.Module, args: tuple[Tensor]) -> None:
        if len(args[0]) > 8 and heard.events and args[0].requires_grad:
            raise torch.OutOfMemoryError("16 dreams")

    model.register_forward_pre_hook(narrow)
    sleep(model, MEMORIES, PROBES, preset("night", **NIGHT), on_event=heard)
    assert any("REM dreaming ran out of memory" in log["message"] for log in heard.of("log"))
    assert any(" of 8 inverted dreams" in log["message"] for log in heard.of("log"))


@pytest.mark.parametrize("net", ["resnet18", "module"])
def test_other_nets_with_norms_dream_too(net: str) -> None:
    heard = Recorder()
    if net == "resnet18":
        model = lived_in(new_model("vision", RESNET, 1))
    else:
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Linear(192, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 4))
        model = wrap(layers, 192, 4)
    sleep(model, MEMORIES, PROBES, preset("night", **NIGHT), on_event=heard)
    assert "dream" in {d["name"] for d in heard.of("decision")}


def bare(**norm: Any) -> nn.Module:
    layers = nn.Sequential(nn.Linear(192, 12), nn.BatchNorm1d(12, **norm), nn.ReLU(), nn.Linear(12, 4))
    return wrap(layers.eval(), 192, 4)


@pytest.mark.parametrize("net", ["no norm", "no running statistics"])
def test_a_net_without_running_statistics_is_refused_before_anything_starts(net: str) -> None:
    model = new_model("cnn", CNN, 1) if net == "no norm" else bare(track_running_stats=False)
    before, heard = bits(model), Recorder()
    with pytest.raises(NocturneInputError, match="Set dream_kind to mixup") as caught:
        sleep(model, MEMORIES, PROBES, preset("night", **NIGHT), on_event=heard)
    assert caught.value.code == "cycle.dream_inversion"
    assert heard.events == []
    assert bits(model) == before
    if net == "no norm":  # without dreams their kind is nobody's business
        sleep(model, MEMORIES, PROBES, preset("night", **(NIGHT | {"dream": 0.0, "passes": 1})))


def test_mixed_dreams_are_marked_as_well() -> None:
    world, heard = make_world(), Recorder()
    sleep(world.model, world.memories, world.probes, world.recipe, on_event=heard)
    [decision] = [d for d in heard.of("decision") if d["name"] == "dream"]
    detail = decision["detail"]
    assert (detail["dreams"], detail["dream_kind"]) == (16 * detail["steps"], "mixup")
    assert (detail["synthetic"], detail["generation"]) == (True, 1)


def test_the_budget_of_inversion_is_bounded_by_that_of_the_replay() -> None:
    recipe = preset("night", dream=0.1, dream_kind="inversion", inversion_steps=50, batch=10, passes=20.0)
    assert inversion_budget(recipe, 1000) == (4, 200, 200)
    assert inversion_budget(recipe, 100) == (1, 50, 20), "one batch at least"
    assert inversion_budget(preset("night", dream=0.1), 1000).steps == 0
    assert inversion_budget(preset("night", dream_kind="inversion"), 1000).steps == 0
    more = {
        kind: estimate(
            preset("night", dream=0.1, dream_kind=kind, batch=10),
            family="cnn",
            config=NORMED,
            memories=[1000],
        )
        for kind in ("mixup", "inversion")
    }
    assert more["inversion"].steps == more["mixup"].steps + 200
    assert more["inversion"].peak_memory_bytes - more["mixup"].peak_memory_bytes == 4 * 192 * 10 * 5
